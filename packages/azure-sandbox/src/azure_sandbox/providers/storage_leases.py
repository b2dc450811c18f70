"""Microsoft.Storage: leases on containers through ARM, and the limits of the storage resource provider.

States and what each action does in them: https://learn.microsoft.com/rest/api/storageservices/lease-container
(table "Outcomes of use attempts on containers by lease state"). Error codes:
https://learn.microsoft.com/rest/api/storageservices/blob-service-error-codes. That ARM's operation answers with the
codes of the data plane is taken from there; no recording of a refused `BlobContainers_Lease` is known.
Limits: https://learn.microsoft.com/azure/azure-resource-manager/management/azure-subscription-service-limits
(storage resource provider, by region and subscription).

Left out: leases through the data plane.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from azure_sandbox.core.responses import ArmError, Response
from azure_sandbox.providers.storage import ACCOUNT_TYPE, SERVICE, provider

if TYPE_CHECKING:
    from azure_sandbox.core.call import Call
    from azure_sandbox.core.resource import Resource

Json = dict[str, Any]

# Requests, and the seconds within which so many are taken.
LIMITS: dict[str, tuple[tuple[int, int], ...]] = {
    "Write": ((10, 1), (1200, 3600)),
    "Read": ((800, 300),),
    "List": ((100, 300),),
}


@provider.limit
def storage_resource_provider_limits(call: Call) -> None:
    """429 TooManyRequests once a region's limit for reads, writes or lists of a subscription is reached."""
    kind = "Write"
    if call.method == "GET":
        kind = "Read" if call.route.names_resource else "List"
    if not call.group:  # names and SKUs are no operations on accounts
        return
    account = call.sandbox.store.get(f"{call.scope}/providers/{ACCOUNT_TYPE}/{call.names.get('account', '')}")
    region = account.location if account is not None else str(call.body.get("location", ""))
    for count, window_s in LIMITS[kind]:
        key = ("storage resource provider", call.subscription.lower(), region, kind, str(window_s))
        wait_s = call.sandbox.throttling.take(key, count, count / window_s)
        if wait_s > 0:
            hours, rest = divmod(window_s, 3600)
            window = f"{hours:02}:{rest // 60:02}:{rest % 60:02}"
            raise ArmError(
                429,
                "TooManyRequests",
                "The request is being throttled as the limit has been reached for operation type - "
                f"{kind}_ObservationWindow_{window}. For more information, see - "
                "https://aka.ms/srpthrottlinglimits",
                retry_after_s=wait_s,
            )


@provider.post(f"{SERVICE}/containers/{{container}}/lease")
def blob_containers_lease(call: Call) -> Response:
    """BlobContainers_Lease: acquire, renew, change, release or break the lease on a container.

    REST: https://learn.microsoft.com/rest/api/storagerp/blob-containers/lease
    """
    account = f"{call.scope}/providers/{ACCOUNT_TYPE}/{call.names['account']}"
    if call.sandbox.store.get(account) is None:
        raise ArmError(404, "ResourceNotFound", f"The Resource '{account}' was not found.")
    container = call.sandbox.store.get(f"{account}/blobServices/default/containers/{call.names['container']}")
    if container is None:
        raise ArmError(404, "ContainerNotFound", "The specified container does not exist.")
    _tick(call, container)
    action = str(call.require("action"))
    steps = {
        "acquire": _acquire,
        "renew": _renew,
        "change": _change,
        "release": _release,
        "break": _break,
    }
    if action.lower() not in steps:
        raise ArmError(
            400, "InvalidHeaderValue", f"The value '{action}' of action is not in the correct format."
        )
    answer = steps[action.lower()](call, container)
    _show(container)
    return Response(200, answer)


def lease_state(container: Resource) -> str:
    """Available, Leased, Breaking, Broken or Expired."""
    return str(container.notes.get("lease state", "Available"))


def _tick(call: Call, container: Resource) -> None:
    """Bring the state to now: a lease that has run out is expired, one whose break period is over is broken."""
    until_s = container.notes.get("lease until")
    if until_s is None or call.sandbox.clock.now_s() < until_s:
        return
    container.notes["lease until"] = None
    container.notes["lease state"] = "Broken" if lease_state(container) == "Breaking" else "Expired"
    _show(container)


def _show(container: Resource) -> None:
    state = lease_state(container)
    container.properties["leaseState"] = state
    container.properties["leaseStatus"] = "Locked" if state in ("Leased", "Breaking") else "Unlocked"
    if state == "Leased":
        is_finite = container.notes.get("lease until") is not None
        container.properties["leaseDuration"] = "Fixed" if is_finite else "Infinite"
    else:
        container.properties.pop("leaseDuration", None)


def _guid(call: Call, name: str, *, required: bool = True) -> str:
    given = call.body.get(name)
    if given is None and not required:
        return ""
    try:
        return str(uuid.UUID(str(given)))
    except ValueError:
        text = f"The value for one of the lease parameters is not in the correct format: {name}."
        raise ArmError(400, "InvalidHeaderValue", text) from None


def _refused(code: str, text: str) -> ArmError:
    return ArmError(409, code, text)


def _mismatch() -> ArmError:
    text = "The lease ID specified did not match the lease ID for the container."
    return _refused("LeaseIdMismatchWithLeaseOperation", text)


def _none() -> ArmError:
    return _refused("LeaseNotPresentWithLeaseOperation", "There is currently no lease on the container.")


def _acquire(call: Call, container: Resource) -> Json:
    wanted = _guid(call, "proposedLeaseId", required=False) or str(uuid.uuid4())
    duration = call.require("leaseDuration")
    if (
        not isinstance(duration, int)
        or isinstance(duration, bool)
        or not (duration == -1 or 15 <= duration <= 60)
    ):
        text = "The lease duration is 15 to 60 seconds, or -1 for a lease that never expires."
        raise ArmError(400, "InvalidHeaderValue", text)
    state = lease_state(container)
    if state == "Leased" and container.notes["lease id"] != wanted:
        raise _refused("LeaseAlreadyPresent", "There is already a lease present.")
    if state == "Breaking":
        if container.notes["lease id"] != wanted:
            raise _refused("LeaseAlreadyPresent", "There is already a lease present.")
        text = "The lease ID matched, but the lease is currently in breaking state and cannot be acquired."
        raise _refused("LeaseIsBreakingAndCannotBeAcquired", text)
    container.notes["lease id"] = wanted
    container.notes["lease duration"] = duration
    return _leased(call, container)


def _leased(call: Call, container: Resource) -> Json:
    duration = container.notes["lease duration"]
    container.notes["lease state"] = "Leased"
    container.notes["lease until"] = None if duration == -1 else call.sandbox.clock.now_s() + duration
    return {"leaseId": container.notes["lease id"]}


def _renew(call: Call, container: Resource) -> Json:
    given, state = _guid(call, "leaseId"), lease_state(container)
    if state == "Available":
        raise _none()
    if container.notes["lease id"] != given:
        raise _mismatch()
    if state in ("Breaking", "Broken"):
        text = "The lease ID matched, but the lease has been broken explicitly and cannot be renewed."
        raise _refused("LeaseIsBrokenAndCannotBeRenewed", text)
    return _leased(call, container)


def _change(call: Call, container: Resource) -> Json:
    given, wanted, state = _guid(call, "leaseId"), _guid(call, "proposedLeaseId"), lease_state(container)
    if state in ("Available", "Expired", "Broken"):
        raise _none()
    if container.notes["lease id"] not in (given, wanted):
        raise _mismatch()
    if state == "Breaking":
        text = "The lease ID matched, but the lease is currently in breaking state and cannot be changed."
        raise _refused("LeaseIsBreakingAndCannotBeChanged", text)
    container.notes["lease id"] = wanted
    return {"leaseId": wanted}


def _release(call: Call, container: Resource) -> Json:
    given, state = _guid(call, "leaseId"), lease_state(container)
    if state == "Available":
        raise _none()
    if container.notes["lease id"] != given:
        raise _mismatch()
    container.notes["lease state"] = "Available"
    container.notes["lease id"] = None
    container.notes["lease until"] = None
    return {}


def _break(call: Call, container: Resource) -> Json:
    state, now_s = lease_state(container), call.sandbox.clock.now_s()
    if state == "Available":
        raise _none()
    if state in ("Broken", "Expired"):
        container.notes["lease state"] = "Broken"
        return {"leaseTimeSeconds": "0"}
    period = call.body.get("breakPeriod")
    if period is not None and (not isinstance(period, int) or not 0 <= period <= 60):
        raise ArmError(400, "InvalidHeaderValue", "The break period is 0 to 60 seconds.")
    until_s = container.notes.get("lease until")
    left_s = None if until_s is None else max(0.0, until_s - now_s)
    # An infinite lease breaks at once, a finite one at its own end, unless a shorter period is given.
    wait_s = float(period) if period is not None else (left_s or 0.0)
    if left_s is not None:
        wait_s = min(wait_s, left_s)
    container.notes["lease state"] = "Breaking" if wait_s > 0 else "Broken"
    container.notes["lease until"] = now_s + wait_s if wait_s > 0 else None
    return {"leaseTimeSeconds": str(round(wait_s))}
