from typing import Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aks_postgres.arm.error_codes import BUSY, QUOTA, RULES, THROTTLED, Rule, rule_for
from aks_postgres.arm.errors import AzureUnavailable, ClusterBusy, NotEffectiveYet
from aks_postgres.arm.responses import ArmFault
from aks_postgres.errors import TemporaryError

# A busy machine is slow, not wrong.
UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

BUSY_TEXT = (
    "Operation is not allowed: Another operation (Updating) is in progress, please wait for it to finish "
    "before starting a new operation. See https://aka.ms/aks-pending-operation for more details"
)
ABAC_TEXT = (
    "The client 'a' with object id 'b' has an authorization with ABAC condition that is not fulfilled to perform "
    "action 'Microsoft.Authorization/roleAssignments/write' over scope '/s' or path/id of the linked resource."
)
NO_LOCAL_ACCOUNTS_TEXT = (
    "Getting static credential is not allowed because this cluster is set to disable local accounts."
)
BARE_VERSION = {
    "code": "K8sVersionNotSupported",
    "details": None,
    "message": "Managed cluster is on version 1.32.11, which is only available for Long-Term Support (LTS).",
    "subcode": "",
}


def rule(
    status: int | None, code: str, message: str = "", details: str = "", retry_after_s: float | None = None
) -> Rule:
    return rule_for(ArmFault(status, code, message, details=details, retry_after_s=retry_after_s))


AGAIN: list[tuple[int | None, str, str, type[TemporaryError]]] = [
    # Microsoft's troubleshooting pages and issue trackers name these; see src/aks_postgres/arm/error_codes.py.
    (409, "AnotherOperationInProgress", "", AzureUnavailable),
    (409, "Conflict", "Another operation is in progress on the selected item.", AzureUnavailable),
    (409, "StorageAccountOperationInProgress", "An operation is currently performing.", AzureUnavailable),
    (409, "ConcurrentFederatedIdentityCredentialsWritesForSingleManagedIdentity", "", AzureUnavailable),
    (409, "ContainerBeingDeleted", "", AzureUnavailable),
    (409, "EtagMismatch", "Another operation is in progress", AzureUnavailable),
    (412, "PreconditionFailed", "", AzureUnavailable),
    (412, "HTTP412", "", AzureUnavailable),
    (200, "OriginalEtagNotExpect", "", AzureUnavailable),
    (200, "NotLatestOperation", "Cannot proceed with the operation.", AzureUnavailable),
    (200, "AKSOperationPreempted", "", ClusterBusy),
    (200, "AKSOperationPreemptedByDelete", "", ClusterBusy),
    (200, "Canceled", "overriden and canceled by a later operation", ClusterBusy),
    (400, "PrincipalNotFound", "Principal abc does not exist in the directory", NotEffectiveYet),
    (400, "BadRequest", "Application x was not found in Active Directory tenant y", NotEffectiveYet),
    (404, "ResourceGroupNotFound", "", NotEffectiveYet),
    (404, "ParentResourceNotFound", "", NotEffectiveYet),
    (404, "ResourceNotFound", "", NotEffectiveYet),
    (400, "InvalidOutputTable", "", NotEffectiveYet),
    (409, "ResourceGroupBeingDeleted", "", AzureUnavailable),
    (409, "ResourceGroupDeletionBlocked", "", AzureUnavailable),
    (409, "RoleAssignmentExists", "The role assignment already exists.", AzureUnavailable),
    (429, "SubscriptionRequestsThrottled", "", AzureUnavailable),
    (200, "Throttled", "The PutManagedClusterHandler.PUT request limit has been exceeded", AzureUnavailable),
    (429, "RetryableError", "", AzureUnavailable),
    (409, "RetryableErrorDueToAnotherOperation", "", AzureUnavailable),
    (400, "ReferencedResourceNotProvisioned", "", AzureUnavailable),
    (500, "InternalServerError", "", AzureUnavailable),
    (502, "HTTP502", "", AzureUnavailable),
    (503, "ServiceUnavailable", "", AzureUnavailable),
    (504, "GatewayTimeout", "", AzureUnavailable),
    (408, "HTTP408", "", AzureUnavailable),
    (599, "Unheard", "", AzureUnavailable),
    (None, "NotSent", "", AzureUnavailable),
    (None, "NoAnswer", "", AzureUnavailable),
    (None, "NoAnswerInTime", "", AzureUnavailable),
    (None, "UnreadableAnswer", "", AzureUnavailable),
    (None, "NotReachable", "", NotEffectiveYet),
    (200, "ZonalAllocationFailed", "", NotEffectiveYet),
    (200, "AksCapacityHeavyUsage", "", NotEffectiveYet),
    (200, "InternalOperationError", "", NotEffectiveYet),
    (200, "VMExtensionProvisioningError", "", NotEffectiveYet),
    (400, "InvalidResourceReference", "", NotEffectiveYet),
    (409, "UnheardOfConflict", "", AzureUnavailable),
    (409, "UnheardOfConflict", "Another operation on this cluster is in progress", ClusterBusy),
    (500, "InternalError", "failed calling webhook: connection refused", NotEffectiveYet),
    (403, "Forbidden", 'failed calling webhook "x": service unavailable', NotEffectiveYet),
]


@pytest.mark.parametrize(("status", "code", "message", "gives_up_as"), AGAIN)
def test_what_passes_is_tried_again(
    status: int | None, code: str, message: str, gives_up_as: type[TemporaryError]
) -> None:
    found = rule(status, code, message)
    assert found.reaction == "again"
    assert found.gives_up_as is gives_up_as
    assert 0 < found.pause_s < found.budget_s


STOP: list[tuple[int, str, str, str]] = [
    # status, code, message, what the advice names
    (403, "AuthorizationFailed", "", "role"),
    (403, "AuthorizationFailed", ABAC_TEXT, "has a condition"),
    (403, "LinkedAuthorizationFailed", "", "action"),
    (401, "ExpiredAuthenticationToken", "", "sign in again"),
    (401, "HTTP401", "", "Sign in again"),
    (401, "InvalidAuthenticationTokenTenant", "", "AZURE_TENANT_ID"),
    (404, "SubscriptionNotFound", "", "subscription_id"),
    (403, "RequestDisallowedByPolicy", "", "exemption"),
    (409, "ScopeLocked", "", "lock"),
    (409, "MissingSubscriptionRegistration", "", "registers resource providers"),
    (409, "InvalidResourceLocation", "", "another region"),
    (409, "InvalidResourceGroupLocation", "", "another region"),
    (409, "StorageAccountAlreadyTaken", "", "suffix"),
    (409, "StorageAccountInAnotherResourceGroup", "", "suffix"),
    (400, "RedundancyConfigurationNotAvailableInRegion", "", "storage.sku"),
    (400, "ZoneRedundancyNotSupported", "", "monitoring.grafana_zone_redundancy"),
    (400, "K8sVersionNotSupported", "", "cluster.kubernetes_version"),
    (400, "SystemPoolSkuTooLow", "", "system_pool.vm_size"),
    (400, "AvailabilityZoneNotSupported", "", "zones"),
    (400, "SkuNotAvailable", "", "VM size"),
    (400, "UnmatchedPrincipalType", "", "grafana_admins"),
    (409, "ReadOnlyDisabledSubscription", "", "Reactivate"),
    (400, "QuotaExceeded", "", "quota"),
    (200, "ErrCode_InsufficientVCPUQuota", "", "quota"),
    (400, "PublicIPCountLimitReached", "", "quota"),
    (400, "NodeResourceGroupAlreadyExists", "", "being deleted"),
    (409, "Conflict", "The workspace name is not unique", "soft-deleted"),
    (400, "PropertyChangeNotAllowed", "", "rebuild"),
    (403, "DenyAssignmentAuthorizationFailed", "", "managed by Azure"),
    (501, "NotImplemented", "", "report it"),
    (501, "HTTP501", "", "report it"),
    (400, "UnheardOf", "", "Azure's words"),
    (403, "UnheardOf", "", "Azure's words"),
    (404, "UnheardOf", "", "Azure's words"),
    (400, "BadRequest", "A new agent pool was introduced", "Azure's words"),
    (400, "BadRequest", NO_LOCAL_ACCOUNTS_TEXT, "cluster.access: entra"),
    (400, "InvalidPayload", "Data collection rule is invalid", "Azure's words"),
    (200, "Failed", "the operation ended as Failed and Azure gave no reason", "Azure's words"),
]


@pytest.mark.parametrize(("status", "code", "message", "advice"), STOP)
def test_what_a_person_must_mend_stops_with_advice(status: int, code: str, message: str, advice: str) -> None:
    found = rule(status, code, message)
    assert found.reaction == "stop"
    assert advice in found.advice


@pytest.mark.parametrize(
    ("status", "message", "reaction", "words"),
    [
        (409, BUSY_TEXT, "again", "busy"),
        (409, "there's an in progress update managed cluster operation", "again", "busy"),
        (409, "", "again", "busy"),
        (400, BUSY_TEXT, "again", "busy"),
        (200, BUSY_TEXT, "again", "busy"),
        (409, "Unable to perform 'x' since deletion was issued on 'aks'.", "again", "being deleted"),
        (409, "The cluster is being deleted.", "again", "being deleted"),
        (409, "Operation could not be completed as it results in exceeding approved quota", "stop", "quota"),
        (400, "Provisioning failed: PublicIPCountLimitReached in eastus", "stop", "quota"),
        (
            400,
            "Upgrading Kubernetes version 1.32.1 to 1.35.2 is not allowed. Available upgrades: 1.33.4",
            "stop",
            "kubernetes_version",
        ),
        (400, "Unable to perform 'stopping' since the cluster enables node provisioning", "stop", "words"),
    ],
)
def test_operation_not_allowed_is_split_by_its_text(
    status: int, message: str, reaction: Literal["again", "stop"], words: str
) -> None:
    """https://learn.microsoft.com/troubleshoot/azure/azure-kubernetes/create-upgrade-delete/operationnotallowed."""
    found = rule(status, "OperationNotAllowed", message)
    assert found.reaction == reaction
    assert words in found.advice


def test_a_details_text_counts_as_much_as_the_message() -> None:
    assert rule(409, "OperationNotAllowed", "", "QuotaExceeded: too many cores") is QUOTA
    assert (
        rule(400, "InvalidPayload", "", "InvalidOutputTable: table is unknown") is RULES["InvalidOutputTable"]
    )


@pytest.mark.parametrize("wrap", [False, True])
def test_bare_bodies_of_aks_are_judged_as_wrapped_ones(wrap: bool) -> None:
    body = {"error": BARE_VERSION} if wrap else BARE_VERSION
    found = rule_for(ArmFault.of_body(body, status=400))
    assert found is RULES["K8sVersionNotSupported"]


@pytest.mark.parametrize(
    "code", ["TooManyRequests", "OperationNotAllowed", "K8sVersionNotSupported", "UnheardOf"]
)
def test_429_is_throttling_whatever_its_code_says(code: str) -> None:
    assert rule(429, code) is THROTTLED


def test_an_unknown_code_that_names_a_time_is_tried_again_then() -> None:
    assert rule(403, "UnheardOf", retry_after_s=5).reaction == "again"
    assert rule(400, "K8sVersionNotSupported", retry_after_s=5).reaction == "stop"


def test_a_busy_cluster_is_waited_for_longer_than_any_operation_of_its_own_takes() -> None:
    assert BUSY.budget_s >= 1800
    assert rule(409, "OperationNotAllowed", "since deletion was issued").budget_s >= 3600


def test_every_stop_says_what_to_do_and_every_again_is_bounded() -> None:
    for code, found in RULES.items():
        if found.reaction == "stop":
            assert found.advice.endswith((".", "?")), code
        else:
            assert 0 < found.pause_s < found.budget_s <= 3600, code
            assert found.advice, code


@UNHURRIED
@given(
    st.none() | st.integers(200, 599),
    st.sampled_from([*RULES, "OperationNotAllowed"]) | st.text(max_size=8),
    st.sampled_from([BUSY_TEXT, "quota", "is not unique", "failed calling webhook"]) | st.text(max_size=8),
    st.none() | st.floats(0, 1e6),
)
def test_every_fault_has_a_rule(
    status: int | None, code: str, message: str, retry_after_s: float | None
) -> None:
    found = rule(status, code, message, retry_after_s=retry_after_s)
    assert found.advice
    assert found.reaction == "stop" or found.budget_s > 0


@pytest.mark.parametrize(
    "text",
    [
        "The cluster is in the Stopped state; only start and delete are allowed.",
        "managed cluster is in Provisioning State(Succeeded) and Power State(Stopped), stopping cannot be performed",
        "managed cluster is in (Succeeded,Stopped) state, stopping cannot be performed",
    ],
)
@pytest.mark.parametrize(("status", "code"), [(409, "OperationNotAllowed"), (400, "BadRequest")])
def test_what_is_stopped_is_never_waited_for(text: str, status: int, code: str) -> None:
    rule = rule_for(ArmFault(status, code, text))
    assert rule.reaction == "stop"
    assert "az aks start" in rule.advice


def test_an_unknown_conflict_is_still_waited_for_with_its_bound() -> None:
    rule = rule_for(ArmFault(409, "SomethingNew", "The service stopped responding."))
    assert (rule.reaction, rule.budget_s) == ("again", 120)


@pytest.mark.parametrize(
    ("message", "reaction", "words"),
    [
        (
            'deployments.apps is forbidden: User "x" cannot create resource "deployments"',
            "stop",
            "lacks this right",
        ),
        (
            'admission webhook "validation.gatekeeper.sh" denied the request: [azurepolicy] no',
            "stop",
            "A policy",
        ),
        ('pods "x" is forbidden: violates PodSecurity "restricted:latest"', "stop", "A policy"),
        ('ValidatingAdmissionPolicy "p" with binding "b" denied request: no', "stop", "A policy"),
        ('pods "x" is forbidden: exceeded quota: q, requested: cpu=1', "stop", "ResourceQuota"),
        (
            "unable to create new content in namespace x because it is being terminated",
            "again",
            "being deleted",
        ),
    ],
)
def test_forbidden_is_split_by_its_cause(message: str, reaction: str, words: str) -> None:
    found = rule(403, "Forbidden", message)
    assert found.reaction == reaction
    assert words in found.advice


@pytest.mark.parametrize(
    ("status", "code"), [(407, "ProxyRefused"), (429, "ProxyRefused"), (503, "ProxyRefused")]
)
def test_a_proxy_that_refuses_is_no_trouble_of_azures(status: int, code: str) -> None:
    found = rule(status, code)
    assert found.reaction == "stop"
    assert "HTTPS_PROXY" in found.advice
    assert "SSL_CERT_FILE" in rule(None, "CertificateNotTrusted").advice
