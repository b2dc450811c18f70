"""`python -m tests.repository.when_it_fails`: write docs/when-it-fails.md from the error table.

What is done by itself, and what a person does, are the table's; a symptom and its cause are said here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from aks_postgres.arm import error_codes
from aks_postgres.arm.error_codes import RULES, Rule
from aks_postgres.arm.errors import (
    AzureUnavailable,
    ClusterBusy,
    CredentialsRefused,
    LastingState,
    NotEffectiveYet,
    NotOurs,
    OperationNotDone,
    WouldWrite,
    WrongSetting,
)
from aks_postgres.errors import ImmutableChange, ProvisioningError, TemporaryError
from aks_postgres.flows._errors import NotThere, RebuildFailed, RebuildRefused
from aks_postgres.preflight.egress import EgressUnknown
from aks_postgres.preflight.errors import PreflightFailed
from aks_postgres.runs.errors import EnvironmentBusy, NotUnderstood, PlanMoved
from aks_postgres.runs.step import RETRIES
from aks_postgres.tasks.verify import RolesMissing, VerificationFailed
from aks_postgres.tear_down.errors import TearDownRefused

FILE = Path(__file__).parents[2] / "docs" / "when-it-fails.md"


@dataclass(frozen=True)
class Symptom:
    """Azure's codes that mean the same to a person; `rules` are those that no code alone leads to."""

    heading: str
    cause: str
    codes: tuple[str, ...] = ()
    rules: tuple[Rule, ...] = ()
    words: str = ""
    if_it_stays: str = ""


SYMPTOMS = {
    "Azure is busy": (
        Symptom(
            "Another operation is at work on the cluster",
            "AKS takes one change of a cluster at a time. Somebody's change, or AKS's own, is at work.",
            ("AKSOperationPreempted", "Canceled", "OperationCanceled"),
            (error_codes.BUSY,),
            "`OperationNotAllowed`, with words such as *in progress*",
            "If it stays so, see in the portal's activity log who changes the cluster.",
        ),
        Symptom(
            "The cluster is being deleted",
            "Somebody is deleting the cluster.",
            ("AKSOperationPreemptedByDelete",),
            (error_codes.DELETING,),
            if_it_stays="The portal's activity log says who deletes it. Run again only if the cluster is to come back.",
        ),
        Symptom(
            "Another operation is at work on a resource",
            "Azure is still busy with an earlier change of this resource.",
            (
                "AnotherOperationInProgress",
                "Conflict",
                "StorageAccountOperationInProgress",
                "RetryableError",
                "ReferencedResourceNotProvisioned",
                "ConcurrentFederatedIdentityCredentialsWritesForSingleManagedIdentity",
                "ContainerBeingDeleted",
            ),
        ),
        Symptom(
            "Somebody changed it in between",
            "The resource was changed between our reading and our writing.",
            (
                "EtagMismatch",
                "EnvironmentWasBusy",
                "PreconditionFailed",
                "OriginalEtagNotExpect",
                "NotLatestOperation",
                "RoleAssignmentExists",
            ),
        ),
        Symptom(
            "A resource group is still being deleted",
            "A group of that name is on its way out, or something in it isn't ready to go.",
            ("ResourceGroupBeingDeleted", "ResourceGroupDeletionBlocked"),
        ),
    ),
    "It isn't there yet": (
        Symptom(
            "What was just made isn't found",
            "Azure needs time until every part of it knows a new resource, identity or table.",
            (
                "PrincipalNotFound",
                "ResourceGroupNotFound",
                "ParentResourceNotFound",
                "ResourceNotFound",
                "InvalidResourceReference",
                "InvalidOutputTable",
                "FailedIdentityOperation",
            ),
        ),
        Symptom(
            "The cluster's API server can't be reached",
            "A change of the allowed addresses takes minutes. Or this machine's address isn't among them.",
            ("NotReachable",),
            if_it_stays="If it stays so, put this machine's address into network.authorized_ip_ranges.",
        ),
        Symptom(
            "A webhook in the cluster isn't up",
            "Kubernetes asks a webhook, such as the operator's, whose pod doesn't answer yet.",
            (),
            (error_codes.WEBHOOK,),
            "*failed calling webhook*",
            "If it stays so, see which of its pods don't run: `kubectl get pods --namespace cnpg-system`.",
        ),
    ),
    "Azure has trouble": (
        Symptom(
            "Too many requests",
            "Azure counts requests for each caller, subscription and resource, and has had enough for now.",
            ("TooManyRequests", "Throttled", "SubscriptionRequestsThrottled", "ResourceRequestsThrottled"),
        ),
        Symptom(
            "Azure's own errors",
            "A service of Azure's, or the cluster's API server, had trouble.",
            (
                "InternalServerError",
                "ServerTimeout",
                "ServiceUnavailable",
                "GatewayTimeout",
                "BadGateway",
                "Timeout",
            ),
            if_it_stays="If it stays so, look at https://azure.status.microsoft, then run again.",
        ),
        Symptom(
            "No answer came",
            "The connection broke, or the answer came too late. Azure may have acted all the same.",
            (),
            (error_codes.NO_ANSWER,),
            "`NoAnswer`, `NoAnswerInTime`, `NotSent`",
        ),
        Symptom(
            "An answer that can't be read",
            "What came isn't JSON, or hasn't the shape that Azure or Kubernetes documents. It counts as no answer.",
            ("UnreadableAnswer",),
        ),
        Symptom(
            "No capacity",
            "The region has no machines of this VM size to give right now.",
            (
                "ZonalAllocationFailed",
                "AllocationFailed",
                "OverconstrainedAllocationRequest",
                "OverconstrainedZonalAllocationRequest",
                "AksCapacityHeavyUsage",
            ),
            if_it_stays="If it stays so, choose another VM size, other zones or another region.",
        ),
        Symptom(
            "Nodes didn't come up",
            "AKS couldn't finish the nodes, and goes on trying by itself.",
            (
                "InternalOperationError",
                "CreateVMSSAgentPoolFailed",
                "ReconcileVMSSAgentPoolFailed",
                "VMExtensionProvisioningError",
            ),
        ),
    ),
    "You may not do this": (
        Symptom(
            "A right is missing",
            "The caller lacks a role.",
            ("AuthorizationFailed", "LinkedAuthorizationFailed"),
        ),
        Symptom(
            "A right has a condition",
            "The caller may assign only some roles.",
            (),
            (error_codes.CONDITION,),
            "`AuthorizationFailed`, with the words *ABAC condition*",
        ),
        Symptom(
            "The sign-in is wrong or over",
            "Azure doesn't take the token or the secret.",
            (
                "AuthenticationFailed",
                "ExpiredAuthenticationToken",
                "InvalidAuthenticationToken",
                "InvalidAuthenticationTokenTenant",
            ),
        ),
        Symptom(
            "The cluster doesn't let us in",
            "The cluster's API server refuses the credentials, or the action.",
            ("Unauthorized", "Forbidden"),
        ),
        Symptom(
            "The cluster has no local accounts",
            "Somebody, or a policy of the tenant, switched them off, and the spec counts on them.",
            (),
            (error_codes.NO_LOCAL_ACCOUNTS,),
            "`BadRequest`, with the words *Getting static credential is not allowed*",
        ),
        Symptom(
            "The cluster doesn't take an object",
            "Its kind isn't known there, or a field of it isn't as that kind has it.",
            ("KindUnknown", "Invalid"),
        ),
        Symptom(
            "The subscription takes no writes, or isn't seen",
            "It is disabled, or the caller has no role in it.",
            ("ReadOnlyDisabledSubscription", "SubscriptionNotFound", "MissingSubscriptionRegistration"),
        ),
        Symptom(
            "A policy, a lock or Azure itself forbids it",
            "Your organisation, or Azure, has a rule against this change.",
            ("RequestDisallowedByPolicy", "ScopeLocked", "DenyAssignmentAuthorizationFailed"),
        ),
        Symptom(
            "A principal has another type",
            "The spec says user, group or service principal, and it is another.",
            ("UnmatchedPrincipalType",),
        ),
    ),
    "Quota": (
        Symptom(
            "The quota is used up",
            "The region's limit for vCPUs, addresses or clusters is too low for this.",
            (
                "InsufficientVCPUQuota",
                "ErrCode_InsufficientVCPUQuota",
                "QuotaExceeded",
                "ResourceQuotaExceeded",
                "PublicIPCountLimitReached",
                "ManagedClusterCountExceedsQuotaLimit",
            ),
            (error_codes.QUOTA,),
        ),
    ),
    "Names and places": (
        Symptom(
            "The name is taken",
            "A resource of this name exists elsewhere.",
            (
                "InvalidResourceLocation",
                "InvalidResourceGroupLocation",
                "StorageAccountAlreadyTaken",
                "StorageAccountInAnotherResourceGroup",
                "NodeResourceGroupAlreadyExists",
            ),
        ),
        Symptom(
            "The region doesn't offer it",
            "Not every region has every version, VM size, zone or redundancy.",
            (
                "RedundancyConfigurationNotAvailableInRegion",
                "ZoneRedundancyNotSupported",
                "K8sVersionNotSupported",
                "AvailabilityZoneNotSupported",
                "SystemPoolSkuTooLow",
                "SkuNotAvailable",
            ),
        ),
        Symptom(
            "AKS doesn't take the subnet",
            "The subnet of network.subnet_id isn't there, is too small, or is for something else.",
            (
                "SubnetNotFound",
                "InsufficientSubnetSize",
                "SubnetIsFull",
                "SubnetIsDelegated",
                "ServiceCidrOverlapExistingSubnetsCidr",
            ),
        ),
        Symptom(
            "It can't be changed in place",
            "Azure fixes this field when the resource is made.",
            ("PropertyChangeNotAllowed",),
        ),
        Symptom(
            "The cluster or a pool is stopped",
            "Somebody stopped it.",
            (),
            (error_codes.STOPPED,),
            "*stopped state*",
        ),
    ),
    "Something stands between you and Azure": (
        Symptom(
            "A proxy, or another machine, answers in Azure's place",
            "What answered isn't Azure.",
            (
                "ForeignHost",
                "ProxyRefused",
                "CertificateNotTrusted",
                "NotAzure",
                "NotKubernetes",
                "EndlessList",
                "TooLarge",
            ),
        ),
        Symptom(
            "The operation isn't there",
            "Azure, or the sandbox, has no such operation.",
            ("NotImplemented",),
        ),
    ),
}

# Our own errors: what a person sees, and what to do. Their causes are their docstrings.
OURS: dict[type[ProvisioningError], tuple[str, str]] = {
    PreflightFailed: ("the preflight found problems", "Each line names a field and says what to do."),
    EgressUnknown: (
        "this machine's address isn't known",
        "Set network.worker_address, or AKS_POSTGRES_EGRESS_URL to a URL that answers with it.",
    ),
    ImmutableChange: (
        "Azure can't change that in place",
        "The message names field, both values and the way out. Take the change back, or rebuild.",
    ),
    NotOurs: (
        "a resource exists without this environment's tags",
        "If it is yours, type its group into `adopt`. Otherwise choose another name or suffix.",
    ),
    LastingState: (
        "something is stopped, disabled or half gone",
        "Do what the message says; waiting doesn't help.",
    ),
    CredentialsRefused: ("no access token could be had", "Sign in again, then run again."),
    WrongSetting: ("an environment variable can't be used", "Correct the variable that is named."),
    VerificationFailed: (
        "the verification found a difference",
        "Do what the message says, then run again. It writes only what still differs.",
    ),
    RolesMissing: (
        "roles are missing",
        "Have somebody who may assign roles carry out the commands that follow, then run again.",
    ),
    TearDownRefused: (
        "the tear-down is refused",
        "Do what each line says, then run again.",
    ),
    RebuildRefused: (
        "the rebuild is refused, or wasn't approved",
        "Do what the message says, then start it again.",
    ),
    RebuildFailed: (
        "the rebuild stopped half-way",
        "Read what is left of both generations, then run rebuild again: it goes on.",
    ),
    NotThere: ("there is no such environment", "Choose one of those that the message lists."),
    PlanMoved: ("the plan has moved", "Make the plan again, look at it, and carry that one out."),
    EnvironmentBusy: (
        "another run is writing to this environment",
        "Wait for the run that is named, then run again.",
    ),
    WouldWrite: (
        "the environment isn't finished",
        "Run provision, or give the spec that the environment was provisioned with.",
    ),
    ClusterBusy: ("AKS stayed busy", "See who changes the cluster, then run again."),
    AzureUnavailable: ("Azure didn't answer", "Look at Azure's status page, then run again."),
    NotEffectiveYet: ("something new isn't known everywhere yet", "Run again in some minutes."),
    NotUnderstood: (
        "an answer wasn't understood",
        "Run again. If it stays so, report it with the message.",
    ),
    OperationNotDone: ("the operation still runs at its deadline", "Run again: it goes on waiting."),
}


def headings() -> dict[str, str]:
    """Each code of the error table, and the heading that it is told under."""
    every = (symptom for chapter in SYMPTOMS.values() for symptom in chapter)
    return {code: symptom.heading for symptom in every for code in symptom.codes}


def slug(heading: str) -> str:
    """A heading's anchor, as MkDocs and forges make it."""
    return re.sub(r"[^a-z0-9 -]", "", heading.casefold()).replace(" ", "-")


def document() -> str:
    """docs/when-it-fails.md."""
    lines = [
        "# When it fails",
        "",
        "**First of all: run it again**, by the same command or from the same deployment. A run goes on where the last",
        "one stopped. It waits for what Azure is still working on, and repeats nothing. `provision` never deletes.",
        "",
        "If it fails again, read the message: it says what happened, where, and what to do. For more, search this page",
        "for its code, such as `ZonalAllocationFailed`. To see how the environment is, run",
        "`aks-postgres status NAME REGION`.",
        "",
        "## Find your code",
        "",
        "| code | section |",
        "| --- | --- |",
        *(f"| `{code}` | [{heading}](#{slug(heading)}) |" for code, heading in sorted(headings().items())),
        *(
            f"| `{name}` | [{heading}](#{slug(heading)}) |"
            for name, heading in sorted((kind.__name__, _capital(said)) for kind, (said, _) in OURS.items())
        ),
        "",
    ]
    for chapter, symptoms in SYMPTOMS.items():
        lines += [f"## {chapter}", ""]
        for symptom in symptoms:
            lines += [*_section(symptom), ""]
    lines += [
        "## Messages of our own",
        "",
        *(line for kind, words in OURS.items() for line in _own_section(kind, *words)),
        "## Where to look",
        "",
        "- The run's log and its summary in the Prefect UI say what was waited out.",
        "- `aks-postgres status NAME REGION` says how the environment is.",
        "- `aks-postgres sandbox ledger` lists every request that the sandbox got. The demo's logs are in `.demo/`.",
        "- [Exit codes](reference/commands.md#exit-codes) say who has to act.",
        "- [What was made to fail](resilience.md) has every fault that was tried, and how it ended.",
        "",
        "Times on this page are Azure's: on the sandbox they pass as fast as its clock. Nothing here was seen on real",
        "Azure yet: codes and causes come from Microsoft's documentation and public reports. The page is written by",
        "`python -m tests.repository.when_it_fails` from `src/aks_postgres/arm/error_codes.py`.",
    ]
    return "\n".join(lines) + "\n"


def _section(symptom: Symptom) -> list[str]:
    codes = ", ".join(f"`{code}`" for code in symptom.codes)
    message = "; ".join(filter(None, [codes, symptom.words]))
    rules = [*symptom.rules, *(RULES[code] for code in symptom.codes)]
    return [
        f"### {symptom.heading}",
        "",
        *([f"- **Message:** {message}."] if message else []),
        f"- **Cause:** {symptom.cause}",
        f"- **Done by itself:** {_by_itself(rules)}",
        *_you_do(symptom, rules),
    ]


def _by_itself(rules: list[Rule]) -> str:
    if all(rule.reaction == "stop" for rule in rules):
        return "Nothing: another try wouldn't help. Steps that don't need this one are finished."
    budgets = sorted({rule.budget_s for rule in rules})
    longest = _minutes(budgets[-1])
    if len(budgets) > 1:
        longest = f"{_minutes(budgets[0])} (with some codes {longest})"
    return (
        f"It looked and tried again, for up to {longest}. Then Prefect tried the step {RETRIES} more times."
    )


def _you_do(symptom: Symptom, rules: list[Rule]) -> list[str]:
    """One line where all codes have the same advice, else one a code."""
    stopping = {rule.advice for rule in rules if rule.reaction == "stop"}
    if not stopping:
        more = f" {symptom.if_it_stays}" if symptom.if_it_stays else ""
        return [f"- **You do:** Run again: it goes on where it stopped.{more}"]
    if len(stopping) == 1:
        return [f"- **You do:** {stopping.pop()}"]
    return ["- **You do:**", *(f"    - `{code}`: {RULES[code].advice}" for code in symptom.codes)]


def _own_section(kind: type[ProvisioningError], said: str, way_out: str) -> list[str]:
    again = f"- **Done by itself:** Prefect tried the step {RETRIES} more times."
    return [
        f"### {_capital(said)}",
        "",
        f"- **Message:** `{kind.__name__}`.",
        f"- **Cause:** {' '.join(str(kind.__doc__).split())}",
        *([again] if issubclass(kind, TemporaryError) else []),
        f"- **You do:** {way_out}",
        "",
    ]


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


def _minutes(seconds: float) -> str:
    return "1 minute" if seconds == 60 else f"{seconds / 60:g} minutes"


if __name__ == "__main__":
    FILE.write_text(document())
