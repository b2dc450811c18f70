"""Leases on blobs: who holds one may write and delete, nobody else.

States and what each action does in them: https://learn.microsoft.com/rest/api/storageservices/lease-blob
"""

from __future__ import annotations

import uuid
from typing import Any

from azure_sandbox.core.blob_contents import BlobError

Json = dict[str, Any]


def state(blob: Json, now_s: float) -> str:
    """available, leased, breaking, broken or expired; a lease that has run out is brought to its end."""
    found = str(blob.get("lease state", "available"))
    until_s = blob.get("lease until")
    if until_s is not None and now_s >= until_s:
        found = blob["lease state"] = "broken" if found == "breaking" else "expired"
        blob["lease until"] = None
    return found


def shown(blob: Json, now_s: float) -> dict[str, str]:
    """The lease's headers, by the name after `x-ms-lease-`."""
    found = state(blob, now_s)
    answer = {"state": found, "status": "locked" if found in ("leased", "breaking") else "unlocked"}
    if found == "leased":
        answer["duration"] = "infinite" if blob.get("lease until") is None else "fixed"
    return answer


def check(blob: Json, given: str | None, now_s: float, *, write: bool) -> None:
    """Refuse a request that the lease doesn't let through; reads need no lease id, but a wrong one is refused."""
    active = state(blob, now_s) in ("leased", "breaking")
    if active and given is None and write:
        text = "There is currently a lease on the blob and no lease ID was specified in the request."
        raise BlobError(412, "LeaseIdMissing", text)
    if given is None:
        return
    if not active:
        text = "There is currently no lease on the blob."
        raise BlobError(412, "LeaseNotPresentWithBlobOperation", text)
    if given.lower() != blob["lease id"]:
        text = "The lease ID specified did not match the lease ID for the blob."
        raise BlobError(412, "LeaseIdMismatchWithBlobOperation", text)


def act(blob: Json, headers: dict[str, str], now_s: float) -> tuple[int, dict[str, str]]:
    """Acquire, renew, change, release or break: the status and the headers of the answer."""
    action = headers.get("x-ms-lease-action", "").lower()
    actions = {"acquire": _acquire, "renew": _renew, "change": _change, "release": _release, "break": _break}
    if action not in actions:
        raise BlobError(
            400, "InvalidHeaderValue", "The value for x-ms-lease-action is not in the correct format."
        )
    return actions[action](blob, headers, now_s)


def _guid(headers: dict[str, str], name: str) -> str:
    try:
        return str(uuid.UUID(headers.get(name, "")))
    except ValueError:
        text = f"The value for one of the HTTP headers is not in the correct format: {name}."
        raise BlobError(400, "InvalidHeaderValue", text) from None


def _refused(code: str, text: str) -> BlobError:
    return BlobError(409, code, text)


def _none() -> BlobError:
    return _refused("LeaseNotPresentWithLeaseOperation", "There is currently no lease on the blob.")


def _mismatch() -> BlobError:
    text = "The lease ID specified did not match the lease ID for the blob."
    return _refused("LeaseIdMismatchWithLeaseOperation", text)


def _lease(blob: Json, duration: int, now_s: float) -> dict[str, str]:
    blob |= {
        "lease state": "leased",
        "lease duration": duration,
        "lease until": None if duration == -1 else now_s + duration,
    }
    return {"x-ms-lease-id": blob["lease id"]}


def _acquire(blob: Json, headers: dict[str, str], now_s: float) -> tuple[int, dict[str, str]]:
    wanted = (
        _guid(headers, "x-ms-proposed-lease-id") if "x-ms-proposed-lease-id" in headers else str(uuid.uuid4())
    )
    text = headers.get("x-ms-lease-duration", "")
    duration = int(text) if text.lstrip("-").isdigit() else 0
    if not (duration == -1 or 15 <= duration <= 60):
        raise BlobError(400, "InvalidHeaderValue", "The lease duration is 15 to 60 seconds, or -1.")
    found = state(blob, now_s)
    if found in ("leased", "breaking") and blob["lease id"] != wanted:
        raise _refused("LeaseAlreadyPresent", "There is already a lease present.")
    if found == "breaking":
        why = "The lease ID matched, but the lease is currently in breaking state and cannot be acquired."
        raise _refused("LeaseIsBreakingAndCannotBeAcquired", why)
    blob["lease id"] = wanted
    return 201, _lease(blob, duration, now_s)


def _renew(blob: Json, headers: dict[str, str], now_s: float) -> tuple[int, dict[str, str]]:
    given, found = _guid(headers, "x-ms-lease-id"), state(blob, now_s)
    if found == "available":
        raise _none()
    if blob["lease id"] != given:
        raise _mismatch()
    if found in ("breaking", "broken"):
        text = "The lease ID matched, but the lease has been broken explicitly and cannot be renewed."
        raise _refused("LeaseIsBrokenAndCannotBeRenewed", text)
    return 200, _lease(blob, blob["lease duration"], now_s)


def _change(blob: Json, headers: dict[str, str], now_s: float) -> tuple[int, dict[str, str]]:
    given, wanted = _guid(headers, "x-ms-lease-id"), _guid(headers, "x-ms-proposed-lease-id")
    found = state(blob, now_s)
    if found in ("available", "expired", "broken"):
        raise _none()
    if blob["lease id"] not in (given, wanted):
        raise _mismatch()
    if found == "breaking":
        text = "The lease ID matched, but the lease is currently in breaking state and cannot be changed."
        raise _refused("LeaseIsBreakingAndCannotBeChanged", text)
    blob["lease id"] = wanted
    return 200, {"x-ms-lease-id": wanted}


def _release(blob: Json, headers: dict[str, str], now_s: float) -> tuple[int, dict[str, str]]:
    given, found = _guid(headers, "x-ms-lease-id"), state(blob, now_s)
    if found == "available":
        raise _none()
    if blob["lease id"] != given:
        raise _mismatch()
    for name in [name for name in blob if name.startswith("lease ")]:
        del blob[name]
    return 200, {}


def _break(blob: Json, headers: dict[str, str], now_s: float) -> tuple[int, dict[str, str]]:
    found = state(blob, now_s)
    if found == "available":
        raise _none()
    if found in ("broken", "expired"):
        blob["lease state"] = "broken"
        return 202, {"x-ms-lease-time": "0"}
    text = headers.get("x-ms-lease-break-period")
    if text is not None and not (text.isdigit() and int(text) <= 60):
        raise BlobError(400, "InvalidHeaderValue", "The break period is 0 to 60 seconds.")
    until_s = blob.get("lease until")
    left_s = None if until_s is None else max(0.0, until_s - now_s)
    # An infinite lease breaks at once, a finite one at its own end, unless a shorter period is given.
    wait_s = float(text) if text is not None else (left_s or 0.0)
    wait_s = wait_s if left_s is None else min(wait_s, left_s)
    blob |= {
        "lease state": "breaking" if wait_s > 0 else "broken",
        "lease until": now_s + wait_s if wait_s > 0 else None,
    }
    return 202, {"x-ms-lease-time": str(round(wait_s))}
