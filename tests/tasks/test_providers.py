"""Registering resource providers, against the sandbox."""

from typing import Any

import pytest

from aks_postgres.arm.errors import AzureRefused, OperationNotDone, WouldWrite
from aks_postgres.reports.journal import Journal
from aks_postgres.runs.session import run_session
from aks_postgres.spec.environment import EnvironmentSpec
from aks_postgres.tasks.preflight import preflight
from aks_postgres.tasks.providers import register_providers


def registrations(azure: Any) -> list[str]:
    return sorted(entry["path"].split("/")[4] for entry in azure.ledger(operation="Providers_Register"))


async def test_nothing_missing_writes_nothing(azure: Any, journal: Journal, spec: EnvironmentSpec) -> None:
    done = await register_providers.fn(await preflight.fn(spec))
    assert (done.change.kind, done.registered) == ("unchanged", ())
    assert registrations(azure) == []


async def test_missing_ones_are_registered_once_and_waited_for(
    azure: Any, journal: Journal, spec: EnvironmentSpec
) -> None:
    missing = ["Microsoft.Dashboard", "Microsoft.Monitor"]
    azure.settings(registered=dict.fromkeys(missing, False))
    waits: list[str] = []
    journal.subscribe(lambda event: waits.append(event.text) if event.kind == "waiting" else None)
    done = await register_providers.fn(await preflight.fn(spec))
    assert done.change.kind == "updated"
    assert done.registered == tuple(missing)
    assert registrations(azure) == missing
    assert any("Microsoft.Monitor is Registering" in text for text in waits)
    assert (await preflight.fn(spec)).missing_providers == ()


async def test_registration_begun_by_another_is_waited_for_and_not_repeated(
    azure: Any, journal: Journal, spec: EnvironmentSpec
) -> None:
    azure.settings(registered={"Microsoft.Monitor": False}, durations={"provider_registration": 300})
    path = f"{azure.subscription}/providers/Microsoft.Monitor/register"
    assert azure.arm("POST", path, api_version="2021-04-01").json()["registrationState"] == "Registering"
    done = await register_providers.fn(await preflight.fn(spec))
    assert (done.change.kind, done.registered) == ("unchanged", ())
    assert registrations(azure) == ["Microsoft.Monitor"]


async def test_a_lost_answer_is_asked_for_again(azure: Any, journal: Journal, spec: EnvironmentSpec) -> None:
    azure.settings(registered={"Microsoft.Monitor": False})
    azure.fault({"cut": "after"}, operation="Providers_Register", times=1)
    done = await register_providers.fn(await preflight.fn(spec))
    assert done.registered == ("Microsoft.Monitor",)


async def test_what_never_ends_is_given_up_after_fifteen_minutes(
    azure: Any, journal: Journal, spec: EnvironmentSpec
) -> None:
    azure.settings(registered={"Microsoft.Monitor": False}, durations={"provider_registration": 36000})
    with pytest.raises(OperationNotDone, match=r"Microsoft\.Monitor is still Registering after 1\d min"):
        await register_providers.fn(await preflight.fn(spec))


async def test_read_only_run_says_what_it_would_register(azure: Any, spec: EnvironmentSpec) -> None:
    azure.settings(registered={"Microsoft.Monitor": False})
    async with run_session(spec, read_only=True):
        place = await preflight.fn(spec)
        with pytest.raises(WouldWrite, match=r"Microsoft\.Monitor"):
            await register_providers.fn(place)
    assert registrations(azure) == []


async def test_caller_who_may_not_register_is_told_so(
    azure: Any, journal: Journal, spec: EnvironmentSpec
) -> None:
    azure.settings(registered={"Microsoft.Monitor": False})
    place = await preflight.fn(spec)
    denied = {"status": 403, "code": "AuthorizationFailed", "message": "no right to register"}
    azure.fault(denied, operation="Providers_Register")
    with pytest.raises(AzureRefused, match="no right to register"):
        await register_providers.fn(place)
