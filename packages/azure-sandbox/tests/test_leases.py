"""Leases on containers through ARM: what each action does in each state, and the limits of the resource provider.

https://learn.microsoft.com/rest/api/storageservices/lease-container (outcomes by lease state).
"""

from typing import Any

import pytest

from azure_sandbox.client import SandboxProcess

API = "2025-06-01"
A, B, C = (f"{digit * 8}-{digit * 4}-4{digit * 3}-8{digit * 3}-{digit * 12}" for digit in "abc")


@pytest.fixture
def container(sandbox: SandboxProcess) -> str:
    """ID of a container."""
    group = f"{sandbox.subscription}/resourceGroups/rg-a"
    account = f"{group}/providers/Microsoft.Storage/storageAccounts/leases1"
    body = {"location": "canadacentral", "sku": {"name": "Standard_LRS"}, "kind": "StorageV2"}
    sandbox.arm("PUT", group, {"location": "canadacentral"}, api_version="2024-11-01")
    sandbox.arm("PUT", account, body, api_version=API)
    sandbox.step(60)
    found = f"{account}/blobServices/default/containers/lock"
    assert sandbox.arm("PUT", found, {}, api_version=API).status_code == 201
    return found


def lease(sandbox: SandboxProcess, container: str, action: str, **body: Any) -> str:
    """The lease's ID, or the code of the refusal."""
    answer = sandbox.arm("POST", f"{container}/lease", {"action": action, **body}, api_version=API)
    found = answer.json()
    return str(found["error"]["code"] if answer.status_code >= 400 else found.get("leaseId", ""))


def acquire(sandbox: SandboxProcess, container: str, guid: str, seconds: int = -1) -> str:
    return lease(sandbox, container, "Acquire", leaseDuration=seconds, proposedLeaseId=guid)


def state(sandbox: SandboxProcess, container: str) -> tuple[str, str]:
    found = sandbox.arm("GET", container, api_version=API).json()["properties"]
    return found["leaseState"], found["leaseStatus"]


def bring(sandbox: SandboxProcess, container: str, wanted: str) -> None:
    """Bring the lease, whose ID is A, into a state."""
    if wanted == "Available":
        return
    assert acquire(sandbox, container, A, 15 if wanted == "Expired" else -1) == A
    if wanted == "Breaking":
        lease(sandbox, container, "Break", breakPeriod=60)
    elif wanted == "Broken":
        lease(sandbox, container, "Break")
    elif wanted == "Expired":
        sandbox.step(16)


LEASED, MISMATCH = "LeaseAlreadyPresent", "LeaseIdMismatchWithLeaseOperation"
NONE, BROKEN = "LeaseNotPresentWithLeaseOperation", "LeaseIsBrokenAndCannotBeRenewed"
OUTCOMES = {
    ("Available", "acquire B"): B,
    ("Available", "renew A"): NONE,
    ("Available", "change A to B"): NONE,
    ("Available", "release A"): NONE,
    ("Available", "break"): NONE,
    ("Leased", "acquire A"): A,
    ("Leased", "acquire B"): LEASED,
    ("Leased", "renew A"): A,
    ("Leased", "renew B"): MISMATCH,
    ("Leased", "change A to B"): B,
    ("Leased", "change B to A"): A,
    ("Leased", "change B to C"): MISMATCH,
    ("Leased", "release A"): "",
    ("Leased", "release B"): MISMATCH,
    ("Leased", "break"): "",
    ("Breaking", "acquire A"): "LeaseIsBreakingAndCannotBeAcquired",
    ("Breaking", "acquire B"): LEASED,
    ("Breaking", "renew A"): BROKEN,
    ("Breaking", "change A to B"): "LeaseIsBreakingAndCannotBeChanged",
    ("Breaking", "release A"): "",
    ("Breaking", "break"): "",
    ("Broken", "acquire B"): B,
    ("Broken", "renew A"): BROKEN,
    ("Broken", "change A to B"): NONE,
    ("Broken", "release A"): "",
    ("Broken", "break"): "",
    ("Expired", "acquire B"): B,
    ("Expired", "renew A"): A,
    ("Expired", "renew B"): MISMATCH,
    ("Expired", "change A to B"): NONE,
    ("Expired", "release A"): "",
}


@pytest.mark.parametrize(("before", "what"), OUTCOMES)
def test_each_action_in_each_state(sandbox: SandboxProcess, container: str, before: str, what: str) -> None:
    bring(sandbox, container, before)
    verb, *names = what.replace(" to ", " ").split()
    guids = [{"A": A, "B": B, "C": C}[name] for name in names]
    found = {
        "acquire": lambda: acquire(sandbox, container, guids[0]),
        "renew": lambda: lease(sandbox, container, "Renew", leaseId=guids[0]),
        "change": lambda: lease(sandbox, container, "Change", leaseId=guids[0], proposedLeaseId=guids[1]),
        "release": lambda: lease(sandbox, container, "Release", leaseId=guids[0]),
        "break": lambda: lease(sandbox, container, "Break", breakPeriod=0),
    }[verb]()
    assert found == OUTCOMES[before, what]


def test_a_container_shows_its_lease_and_cannot_be_deleted_while_it_lasts(
    sandbox: SandboxProcess, container: str
) -> None:
    assert state(sandbox, container) == ("Available", "Unlocked")
    acquire(sandbox, container, A)
    assert state(sandbox, container) == ("Leased", "Locked")
    refused = sandbox.arm("DELETE", container, api_version=API)
    assert (refused.status_code, refused.json()["error"]["code"]) == (412, "LeaseIdMissing")
    lease(sandbox, container, "Release", leaseId=A)
    assert sandbox.arm("DELETE", container, api_version=API).status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        {"action": "Acquire"},
        {"action": "Acquire", "leaseDuration": 5},
        {"action": "Acquire", "leaseDuration": 30, "proposedLeaseId": "x"},
        {"action": "Renew"},
        {"action": "Steal", "leaseId": A},
        {},
    ],
)
def test_a_lease_request_that_makes_no_sense_is_refused(
    sandbox: SandboxProcess, container: str, body: dict[str, Any]
) -> None:
    assert sandbox.arm("POST", f"{container}/lease", body, api_version=API).status_code == 400


@pytest.mark.thorough
def test_the_resource_provider_takes_1200_writes_an_hour(sandbox: SandboxProcess, container: str) -> None:
    sandbox.control("POST", "clock", {"speed": 1})
    answer = None
    for _ in range(1300):
        sandbox.step(0.1)
        answer = sandbox.arm("PUT", container, {}, api_version=API)
        if answer.status_code == 429:
            break
    assert answer is not None
    assert answer.json()["error"]["code"] == "TooManyRequests"
    assert "Write_ObservationWindow_01:00:00" in answer.json()["error"]["message"]
    sandbox.step(60)
    assert sandbox.arm("PUT", container, {}, api_version=API).status_code == 200
