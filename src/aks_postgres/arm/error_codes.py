"""What each of Azure's error codes means for us: repeat, look again, or stop and say why.

The code decides before the HTTP status; where one code has several meanings, its message splits it. Budgets
and pauses are Azure seconds. Sources: the ARM and AKS troubleshooting pages of Microsoft Learn, and, where
those are silent, what https://github.com/Azure/azure-service-operator (error_classifier.go) and the Azure CLI
do.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Literal

from aks_postgres.arm.errors import AzureUnavailable, ClusterBusy, NotEffectiveYet
from aks_postgres.arm.responses import ArmFault
from aks_postgres.errors import TemporaryError


@dataclass(frozen=True)
class Rule:
    """How to react to a fault.

    `again`: read, compare and, if still needed, write once more, after `pause_s`, for at most `budget_s`; then
    `gives_up_as`. The budget counts from when this code was first seen; for AzureUnavailable, only the pauses
    count. `stop`: a person must act; `advice` says how.
    """

    reaction: Literal["again", "stop"]
    advice: str
    budget_s: float = 0
    pause_s: float = 0
    gives_up_as: type[TemporaryError] = AzureUnavailable


def _again(
    why: str, budget_s: float, pause_s: float, gives_up_as: type[TemporaryError] = AzureUnavailable
) -> Rule:
    return Rule("again", why, budget_s, pause_s, gives_up_as)


def _stop(advice: str) -> Rule:
    return Rule("stop", advice)


# Another operation on the same cluster is normal on AKS and lasts minutes; 30 min cover an upgrade by itself.
BUSY = _again("AKS is busy with another operation", 1800, 10, ClusterBusy)
CONFLICT = _again("another operation on this resource is in progress", 600, 10)
DELETING = _again("the cluster is being deleted", 3600, 30, ClusterBusy)
CHANGED = _again("the resource was changed by someone else in between", 600, 2)
SERVER_TROUBLE = _again("Azure had trouble answering", 300, 5)
NO_ANSWER = _again("no answer came; it may have been acted on all the same", 300, 2)
UNREADABLE = _again(
    "an answer that can't be read counts as none; if it stays, look at what answers in Azure's place, such as a proxy",
    300,
    2,
)
THROTTLED = _again("Azure throttles this caller", 3600, 15)
WEBHOOK = _again("an admission webhook isn't up yet", 300, 10, NotEffectiveYet)
QUOTA = _stop(
    "Ask for more quota in this region (https://aka.ms/AzureQuota), or choose fewer or smaller nodes."
)
CAPACITY = _again("Azure has no capacity for this VM size right now", 900, 300, NotEffectiveYet)
HEALING = _again("AKS goes on trying by itself", 1200, 60, NotEffectiveYet)
SPREADING = "what was just made hasn't reached every Azure front end yet"
_SUBNET_FULL = _stop(
    "The subnet needs a free address for each node that the pools may grow to: give network.subnet_id a larger one, or "
    "set max_count lower; then run again."
)


RULES: dict[str, Rule] = {
    # --- busy, changed, overtaken -------------------------------------------------------------------------
    "AnotherOperationInProgress": CONFLICT,
    "Conflict": CONFLICT,
    "StorageAccountOperationInProgress": CONFLICT,
    "RetryableError": CONFLICT,
    "ReferencedResourceNotProvisioned": CONFLICT,
    "ConcurrentFederatedIdentityCredentialsWritesForSingleManagedIdentity": CONFLICT,
    "ContainerBeingDeleted": _again("the container's old name is being freed", 300, 10),
    "EtagMismatch": CHANGED,
    # Our own: the lock was taken after another run had it (`runs.write_lock`).
    "EnvironmentWasBusy": CHANGED,
    "PreconditionFailed": CHANGED,
    "OriginalEtagNotExpect": CHANGED,
    "NotLatestOperation": CHANGED,
    "AKSOperationPreempted": BUSY,
    "AKSOperationPreemptedByDelete": DELETING,
    "Canceled": BUSY,
    "OperationCanceled": BUSY,
    # --- not there yet ------------------------------------------------------------------------------------
    "PrincipalNotFound": _again(
        "Microsoft Entra ID hasn't replicated the new identity yet", 300, 5, NotEffectiveYet
    ),
    "ResourceGroupNotFound": _again(SPREADING, 120, 5, NotEffectiveYet),
    "ParentResourceNotFound": _again(SPREADING, 120, 5, NotEffectiveYet),
    "ResourceNotFound": _again(SPREADING, 120, 5, NotEffectiveYet),
    "InvalidOutputTable": _again(
        "the new Log Analytics workspace's tables aren't ready yet", 300, 15, NotEffectiveYet
    ),
    "FailedIdentityOperation": _again("Microsoft Entra ID couldn't finish yet", 300, 15, NotEffectiveYet),
    "ResourceGroupBeingDeleted": _again("a resource group of that name is still being deleted", 3600, 15),
    "ResourceGroupDeletionBlocked": _again("a resource in the group isn't ready to be deleted", 900, 60),
    # The role exists under another GUID: reading finds it by scope, role and principal.
    "RoleAssignmentExists": _again("the role was assigned in between", 60, 2),
    # --- Kubernetes -----------------------------------------------------------------------------------------
    "Unauthorized": _stop(
        "The cluster doesn't take these credentials: local accounts were disabled, or its certificates rotated, or "
        "it is in another tenant. Run again, with cluster.access: entra if it has Microsoft Entra ID."
    ),
    # https://learn.microsoft.com/azure/aks/manage-azure-rbac
    "Forbidden": _stop(
        "The caller lacks this right in the cluster. With Microsoft Entra ID, give it Azure Kubernetes Service RBAC "
        "Cluster Admin on the subscription (docs/permissions.md), which works some minutes later; then run again."
    ),
    # Our own (`aks_postgres.kubernetes.client`).
    "KindUnknown": _stop(
        "The definition (CRD) of that kind is missing: whoever deleted it has to install again what brings it; "
        "provision does so for the operator's. Then run again."
    ),
    "NotKubernetes": _stop(
        "That isn't how the cluster's API answers. Look at what stands between (HTTPS_PROXY, a firewall, a gateway), "
        "and have it let the API server's host through (NO_PROXY); then run again."
    ),
    "Invalid": _stop(
        "The cluster doesn't take the object, for the reason above: change the spec; then run again."
    ),
    "Timeout": SERVER_TROUBLE,
    # A changed list of ranges takes up to 2 minutes
    # (https://learn.microsoft.com/azure/aks/api-server-authorized-ip-ranges), a new name in DNS up to 10
    # (https://github.com/Azure/AKS/issues/137).
    "NotReachable": _again("the API server can't be reached from here yet", 600, 5, NotEffectiveYet),
    # --- trouble that passes --------------------------------------------------------------------------------
    "TooManyRequests": THROTTLED,
    "Throttled": THROTTLED,
    "SubscriptionRequestsThrottled": THROTTLED,
    "ResourceRequestsThrottled": THROTTLED,
    "InternalServerError": SERVER_TROUBLE,
    "ServerTimeout": SERVER_TROUBLE,
    "ServiceUnavailable": SERVER_TROUBLE,
    "GatewayTimeout": SERVER_TROUBLE,
    "BadGateway": SERVER_TROUBLE,
    "ZonalAllocationFailed": CAPACITY,
    "AllocationFailed": CAPACITY,
    "OverconstrainedAllocationRequest": CAPACITY,
    "OverconstrainedZonalAllocationRequest": CAPACITY,
    "AksCapacityHeavyUsage": CAPACITY,
    "InternalOperationError": HEALING,
    "CreateVMSSAgentPoolFailed": HEALING,
    "ReconcileVMSSAgentPoolFailed": HEALING,
    "VMExtensionProvisioningError": _again("nodes didn't come up", 600, 60, NotEffectiveYet),
    # --- a person must act ----------------------------------------------------------------------------------
    "AuthorizationFailed": _stop(
        "Give the caller the role that holds this action at this scope; if that was done less than 10 "
        "minutes ago, run again. docs/permissions.md lists every action needed."
    ),
    "LinkedAuthorizationFailed": _stop("Give the caller the action that the message names, then run again."),
    "AuthenticationFailed": _stop("Sign in again, or renew the secret, then run again."),
    # A fresh token was sent already (`arm.client`); twice means that none can be had.
    "ExpiredAuthenticationToken": _stop(
        "The credential can't be refreshed any more: sign in again, then run again."
    ),
    "InvalidAuthenticationToken": _stop("Sign in again, or renew the secret, then run again."),
    "InvalidAuthenticationTokenTenant": _stop(
        "Set AZURE_TENANT_ID to the tenant that the subscription belongs to."
    ),
    # https://learn.microsoft.com/azure/cost-management-billing/manage/subscription-disabled
    "ReadOnlyDisabledSubscription": _stop(
        "The subscription is disabled, so nothing in it can be written. Ask its owner to enable it again "
        "(portal: Subscriptions, Reactivate), then run again."
    ),
    # https://learn.microsoft.com/azure/role-based-access-control/troubleshooting
    "UnmatchedPrincipalType": _stop(
        "The principal has another type than was said: set its `type` in monitoring.grafana_admins or "
        "storage.blob_owners to User, Group or ServicePrincipal, whichever it is, then run again."
    ),
    # A reference to what was just made; Azure Service Operator repeats it too (error_classifier.go).
    "InvalidResourceReference": _again(SPREADING, 120, 5, NotEffectiveYet),
    "SubscriptionNotFound": _stop("Check subscription_id, and that the caller has a role in it."),
    "RequestDisallowedByPolicy": _stop(
        "Ask whoever owns the named policy assignment for an exemption, or change the spec; then run again."
    ),
    "ScopeLocked": _stop("Ask whoever set the lock to remove it; this product never removes locks."),
    "MissingSubscriptionRegistration": _stop("Run again: the preflight registers resource providers."),
    "InvalidResourceLocation": _stop(
        "A resource of this name exists in another region; change name or suffix."
    ),
    "InvalidResourceGroupLocation": _stop(
        "The resource group exists in another region; change name or suffix."
    ),
    "StorageAccountAlreadyTaken": _stop("Somebody else has this storage account name; set another suffix."),
    "StorageAccountInAnotherResourceGroup": _stop(
        "The account exists in another of your resource groups; move or delete it, or set another suffix."
    ),
    "RedundancyConfigurationNotAvailableInRegion": _stop("Choose another storage.sku or another region."),
    "ZoneRedundancyNotSupported": _stop(
        "Set monitoring.grafana_zone_redundancy to false, or choose another region."
    ),
    "K8sVersionNotSupported": _stop(
        "Leave cluster.kubernetes_version unset, or choose one that the region offers."
    ),
    "AvailabilityZoneNotSupported": _stop("Choose other zones, another VM size or another region."),
    "SystemPoolSkuTooLow": _stop("Choose a system_pool.vm_size with at least 4 vCPUs and 4 GiB."),
    "SkuNotAvailable": _stop("Choose another VM size or another region."),
    "InsufficientVCPUQuota": QUOTA,
    "ErrCode_InsufficientVCPUQuota": QUOTA,
    "QuotaExceeded": QUOTA,
    "ResourceQuotaExceeded": QUOTA,
    "PublicIPCountLimitReached": QUOTA,
    "ManagedClusterCountExceedsQuotaLimit": QUOTA,
    "NodeResourceGroupAlreadyExists": _stop(
        "If that group belongs to a cluster being deleted, run again when it is gone; else set another "
        "suffix."
    ),
    "ForeignHost": _stop(
        "Nothing was sent there. Look at what answers in Azure's place (a proxy, AKS_POSTGRES_ARM_ENDPOINT); then run "
        "again."
    ),
    # Our own (`aks_postgres.arm.way_to_azure`): what stands between this machine and Azure.
    "ProxyRefused": _stop(
        "The proxy of HTTPS_PROXY refused, not Azure: give it the name and password that it wants "
        "(http://name:password@host:port), or have it let these hosts through; then run again."
    ),
    "CertificateNotTrusted": _stop(
        "What answers shows a certificate that this machine doesn't trust, as a proxy does that looks into TLS. Set "
        "SSL_CERT_FILE to a file with its authority's certificate, then run again."
    ),
    "NotAzure": _stop(
        "That isn't how Azure answers: look at what stands between (HTTPS_PROXY, a firewall, a gateway), and have it "
        "let Azure's hosts through (NO_PROXY); then run again."
    ),
    "UnreadableAnswer": UNREADABLE,
    "EndlessList": _stop("Look at what answers in Azure's place, such as a proxy; then run again."),
    "TooLarge": _stop("Look at what answers there, such as a proxy or another file; then run again."),
    "NotImplemented": _stop(
        "Azure, or the sandbox, doesn't have this operation; report it with the message."
    ),
    # https://learn.microsoft.com/troubleshoot/azure/azure-kubernetes/error-codes/aks-error-code-page
    "SubnetNotFound": _stop("Set network.subnet_id to a subnet that is there, then run again."),
    "InsufficientSubnetSize": _SUBNET_FULL,
    "SubnetIsFull": _SUBNET_FULL,
    "SubnetIsDelegated": _stop("Set network.subnet_id to a subnet without delegation, then run again."),
    "ServiceCidrOverlapExistingSubnetsCidr": _stop(
        "Set network.subnet_id to a subnet of a network that keeps clear of 10.0.0.0/16, then run again."
    ),
    "PropertyChangeNotAllowed": _stop("Azure can't change this in place; rebuild the environment."),
    "DenyAssignmentAuthorizationFailed": _stop("The resource is managed by Azure itself; leave it alone."),
}

# https://learn.microsoft.com/azure/role-based-access-control/delegate-role-assignments-overview
CONDITION = _stop(
    "The caller's right to assign roles has a condition, and it doesn't allow this role for this principal. Have it "
    "allow the roles that docs/permissions.md lists, for service principals and for those in "
    "monitoring.grafana_admins; then run again."
)

# AKS's words: https://learn.microsoft.com/azure/aks/start-stop-cluster, https://github.com/MicrosoftDocs/azure-docs/issues/85161
STOPPED = _stop(
    "The cluster or pool was stopped. Start it (az aks start, az aks nodepool start), or set cluster.if_stopped: "
    "start; then run again."
)
_SAYS_STOPPED = re.compile(r"\bstopped state\b|power ?state\W+stopped|\(succeeded, ?stopped\)")

# https://github.com/Azure/caf-terraform-landingzones/issues/416; without Entra, a cluster without local accounts has no
# credentials that Azure could hand out.
NO_LOCAL_ACCOUNTS = _stop(
    "The cluster's local accounts are off, by somebody or by a policy of the tenant. Set cluster.access: entra, and "
    "give the run's identity Azure Kubernetes Service RBAC Cluster Admin on the subscription; then run again. More: "
    "docs/how-to/locked-down-tenants.md."
)

# Recorded in status documents of operations on clusters and pools that AKS ended well all the same (azure-cli's
# recordings, such as test_aks_create_update_fips_flow.yaml). As an answer to a request, they'd mean something else.
_HEALS = re.compile(r"Reconcile\w*Error|OverlaymgrReconcileError|ContextDeadlineExceeded|NotFound")

_UNKNOWN = _stop("Read Azure's words above; mend it, then run again.")
# Often another operation under a code of its own, sometimes for good: a few tries tell.
_UNKNOWN_CONFLICT = _again("something else on this resource is in the way", 120, 10)


def rule_for(fault: ArmFault) -> Rule:
    """The rule for a fault; of unknown codes, 408, 409, 412 and 5xx are tried a few times, the rest stops."""
    inner = re.match(r"(\w+): ", fault.details)
    if fault.code == "ResourceOperationFailure" and inner:
        # It says only that an operation failed; why is in its details.
        return rule_for(replace(fault, code=inner[1]))
    text = f"{fault.message} {fault.details}".casefold()
    if fault.code in ("ProxyRefused", "CertificateNotTrusted"):
        return RULES[fault.code]
    if fault.status == 429:
        return THROTTLED
    if _SAYS_STOPPED.search(text) and fault.status in (400, 409):
        return STOPPED
    if fault.status == 400 and "getting static credential is not allowed" in text:
        return NO_LOCAL_ACCOUNTS
    if fault.code == "OperationNotAllowed":
        return _not_allowed(fault, text)
    if fault.code == "AuthorizationFailed" and "abac condition" in text:
        return CONDITION
    if "failed calling webhook" in text:
        return WEBHOOK
    if fault.code == "Forbidden":
        return _forbidden(text)
    if "InvalidOutputTable".casefold() in text:
        return RULES["InvalidOutputTable"]
    if re.search(r"not found in active directory tenant", text):
        return RULES["PrincipalNotFound"]
    if fault.code == "Conflict" and "is not unique" in text:
        return _stop("The name is held by a soft-deleted resource elsewhere; set another suffix.")
    if fault.code in RULES:
        return RULES[fault.code]
    if fault.of_aks_operation and (_HEALS.fullmatch(fault.code) or "aks will continuously retry" in text):
        return HEALING
    if fault.code.startswith("RetryableError"):
        return CONFLICT
    if fault.status == 409 and "another operation" in text:
        return BUSY
    if fault.status is None:
        return NO_ANSWER
    if fault.status == 401:
        return RULES["AuthenticationFailed"]
    if fault.status == 501:
        return RULES["NotImplemented"]
    if fault.status == 408 or fault.status >= 500:
        return SERVER_TROUBLE
    if fault.status == 412:
        return CHANGED
    if fault.retry_after_s is not None:
        return CONFLICT
    return _UNKNOWN_CONFLICT if fault.status == 409 else _UNKNOWN


def _forbidden(text: str) -> Rule:
    """Forbidden is Kubernetes' word for a missing right, and for admission's refusals, which no right helps.

    https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/
    """
    if "is being terminated" in text:
        return _again("the namespace is being deleted", 600, 10)
    if "exceeded quota" in text:
        return _stop("A ResourceQuota in this namespace leaves too little: raise it, then run again.")
    if "denied the request" in text or "violates podsecurity" in text or "denied request" in text:
        return _stop(
            "A policy in the cluster (Azure Policy, Gatekeeper, Kyverno, Pod Security) refuses it: ask whoever owns "
            "the policy to exempt this namespace, then run again."
        )
    return RULES["Forbidden"]


def _not_allowed(fault: ArmFault, text: str) -> Rule:
    """OperationNotAllowed: over quota, being deleted, busy in many wordings, or against AKS's rules."""
    if "quota" in text or "publicipcountlimit" in text:
        return QUOTA
    if "deletion was issued" in text or "being deleted" in text:
        return DELETING
    if "available upgrades" in text:
        return _stop("Choose a cluster.kubernetes_version among the available upgrades.")
    return _UNKNOWN if fault.status == 400 and "in progress" not in text else BUSY
