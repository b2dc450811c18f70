"""An environment that an earlier version made is taken over: a run writes only what CHANGELOG.md names."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from aks_postgres.flows.plan import make_plan
from aks_postgres.flows.provision import provision
from aks_postgres.flows.rebuild import rebuild
from aks_postgres.flows.tear_down import tear_down
from aks_postgres.reports.rebuild import Rebuilt
from aks_postgres.reports.receipt import Receipt
from aks_postgres.runs.errors import EnvironmentBusy
from aks_postgres.runs.one_writer import one_writer
from aks_postgres.runs.session import run_session
from aks_postgres.runs.write_lock import CONTAINER
from aks_postgres.spec.environment import EnvironmentSpec
from azure_sandbox.client import SandboxProcess

from ..cases import shown
from .conftest import quicken, writes
from .kept_state import FOLDER, kept_state, leftovers, stripped
from .test_tear_down import resources

pytestmark = pytest.mark.usefixtures("prefect_api")

KEY = "cnpg-canadacentral"
# For each version the operations of the writes that a run of today's code makes in an environment of it, in order.
# What is added here is an entry in CHANGELOG.md.
TAKE_OVER: dict[str, list[str]] = {
    # The sandbox of then had two of the recommended rule groups under names that aren't Azure's.
    "c28e82f": [
        "BlobServices_SetServiceProperties",
        "ManagementPolicies_CreateOrUpdate",
        "PrometheusRuleGroups_CreateOrUpdate",
        "PrometheusRuleGroups_CreateOrUpdate",
    ]
}
VERSIONS = sorted(TAKE_OVER)

# The tag that c28e82f's claim leaves on the backup group when a run is killed; the host's name is another.
OLD_TAG = "aks-postgres-writer"
OLD_CLAIM = "{until} rgh1ii the run provision cnpg in canadacentral (f2588057-baee-488e-9c33-d8b33e29ab50) on elsewhere"


@pytest.fixture(params=VERSIONS)
def version(request: pytest.FixtureRequest, azure: SandboxProcess) -> str:
    """A finished default environment of that version, the only thing in the sandbox."""
    found: str = request.param
    azure.control("PUT", "state", kept_state(found, azure))
    quicken(azure)
    return found


def leave_claim(azure: SandboxProcess, until: datetime) -> None:
    """Put the old tag where a killed run of c28e82f leaves it."""
    (group,) = (one for one in resources(azure) if "-backup-" in one and one.count("/") == 4)
    claimed = OLD_CLAIM.format(until=until.isoformat(timespec="seconds"))
    answer = azure.arm(
        "PATCH",
        f"{group}/providers/Microsoft.Resources/tags/default",
        {"operation": "Merge", "properties": {"tags": {OLD_TAG: claimed}}},
        api_version="2024-11-01",
    )
    assert answer.status_code == 200, answer.text


def at_real_speed(azure: SandboxProcess, monkeypatch: pytest.MonkeyPatch) -> datetime:
    """Let Azure's clock go at the speed of ours; returns what it shows."""
    monkeypatch.setenv("AKS_POSTGRES_TIME_SCALE", "1")
    return datetime.fromisoformat(azure.control("POST", "clock", {"speed": 1})["now"])


def old_claims(azure: SandboxProcess) -> list[str]:
    """The old tags that are left."""
    return [one["tags"][OLD_TAG] for one in resources(azure).values() if OLD_TAG in (one.get("tags") or {})]


def changed(spec: EnvironmentSpec) -> EnvironmentSpec:
    """The environment with something to write."""
    return spec.model_copy(
        update={"monitoring": spec.monitoring.model_copy(update={"log_retention_days": 60})}
    )


def operations(ledger: list[dict[str, Any]]) -> list[str]:
    return [entry["operation"] for entry in writes(ledger)]


def test_every_kept_state_has_its_list_of_writes_and_holds_nothing_secret(azure: SandboxProcess) -> None:
    assert sorted(file.name.removesuffix(".json.gz") for file in FOLDER.glob("*.json.gz")) == VERSIONS
    for version in VERSIONS:
        state = kept_state(version, azure)
        stored = stripped(state, azure.description["endpoint"], "no certificate")
        assert state["client_secret"] not in stored
        assert [one for one in leftovers(stored) if "CERTIFICATE" not in one] == []


async def test_provision_writes_only_what_the_changelog_names(
    azure: SandboxProcess, spec: EnvironmentSpec, version: str
) -> None:
    since = len(azure.ledger())
    outputs = await provision(spec)
    assert outputs.place.generation == 1
    # The lock is taken where there is something to write: its container, its lease, its heartbeat's tag.
    taken = [one for one in azure.ledger()[since:] if CONTAINER not in one["path"]]
    # Today's stand-in of the operator's manifest has definitions and rights that it hadn't then: the sandbox's doing.
    grown = ("patch customresourcedefinitions.", "patch clusterroles.")
    ours = [name for name in operations(taken) if not name.startswith(grown)]
    assert [name for name in ours if name != "Tags_UpdateAtScope"] == TAKE_OVER[version]
    since = len(azure.ledger())
    assert (await provision(spec)).is_unchanged
    assert operations(azure.ledger()[since:]) == []


async def test_plan_finds_nothing_that_provision_would_not_write(
    azure: SandboxProcess, spec: EnvironmentSpec, version: str
) -> None:
    since = len(azure.ledger())
    found = await make_plan(spec, recorded=False)
    assert found.is_empty is (TAKE_OVER[version] == [])
    assert found.refusals == ()
    assert operations(azure.ledger()[since:]) == []


@pytest.mark.thorough
async def test_rebuild_makes_a_new_generation_of_it(
    azure: SandboxProcess, spec: EnvironmentSpec, version: str
) -> None:
    run: Any = await rebuild(spec, KEY, "replace", return_state=True)
    done: Rebuilt = await run.aresult()
    assert done.old is not None
    assert (done.old.generation, done.new.generation) == (1, 2)
    assert done.outputs.storage_account.change.kind == "unchanged"
    assert (await provision(spec)).is_unchanged


async def test_tear_down_takes_all_of_it_and_keeps_the_backups(
    azure: SandboxProcess, spec: EnvironmentSpec, version: str
) -> None:
    before = resources(azure)
    run: Any = await tear_down(spec, KEY, return_state=True)
    receipt: Receipt = await run.aresult()
    assert [item.what for item in receipt.kept] == ["storage account", "backup resource group"]
    # The identities of a generation lose their roles on the account.
    kept = {one for one in before if "-backup-" in one and "/roleAssignments/" not in one}
    assert len(kept) == 3  # group, account, container
    (account,) = (one for one in kept if one.count("/") == 8)
    kept.add(f"{account}/blobServices/default/containers/{CONTAINER}")
    assert {one for one in resources(azure) if "cnpg" in one} == kept


async def test_an_old_claim_that_lives_is_heeded(
    azure: SandboxProcess, spec: EnvironmentSpec, version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave_claim(azure, at_real_speed(azure, monkeypatch) + timedelta(seconds=100))
    since = len(azure.ledger())
    with pytest.raises(EnvironmentBusy, match="the run provision cnpg in canadacentral"):
        await provision(changed(spec), if_another_run="refuse")
    assert operations(azure.ledger()[since:]) == []


@pytest.mark.parametrize(
    "ago", shown([timedelta(seconds=1), timedelta(days=400)], first=1), ids=["just now", "long ago"]
)
async def test_an_old_claim_that_is_overdue_blocks_nobody(
    azure: SandboxProcess, spec: EnvironmentSpec, version: str, ago: timedelta
) -> None:
    leave_claim(azure, datetime.fromisoformat(azure.control("GET", "clock")["now"]) - ago)
    assert (await provision(changed(spec), if_another_run="refuse")).changes[
        "log_workspace"
    ].kind == "updated"
    assert old_claims(azure) == []


@pytest.mark.thorough
async def test_an_old_claim_that_runs_out_is_waited_for(
    azure: SandboxProcess, spec: EnvironmentSpec, version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends = at_real_speed(azure, monkeypatch).replace(microsecond=0) + timedelta(seconds=4)
    leave_claim(azure, ends)
    async with run_session(spec) as run, one_writer(run.azure, spec) as lock:
        assert datetime.fromisoformat(azure.control("GET", "clock")["now"]) >= ends
        assert [lock.guid in one for one in old_claims(azure)] == [True]
    assert old_claims(azure) == []
