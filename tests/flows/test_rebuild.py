"""`rebuild` makes an environment anew: the backups survive, the old generation goes last, and a rerun goes on."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from prefect import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey
from prefect.client.schemas.objects import FlowRun

from aks_postgres.arm.errors import AzureRefused
from aks_postgres.flows._errors import RebuildFailed, RebuildRefused
from aks_postgres.flows.provision import provision
from aks_postgres.flows.rebuild import make_rebuild_plan, rebuild
from aks_postgres.reports.outputs import EnvironmentOutputs
from aks_postgres.reports.rebuild import Rebuilt
from aks_postgres.runs.errors import EnvironmentBusy
from aks_postgres.runs.one_writer import held_locks, one_writer
from aks_postgres.runs.session import run_session
from aks_postgres.spec.environment import EnvironmentSpec
from aks_postgres.spec.names import Names
from azure_sandbox.client import SandboxProcess

from ..cases import shown
from ..conftest import spec_for
from .conftest import writes
from .test_tear_down import OBJECT, blob, database, kube_for, make_neighbour, resources, until

pytestmark = pytest.mark.usefixtures("prefect_api")

Json = dict[str, Any]

KEY = "cnpg-canadacentral"
OWNER = "b7e6dc6d-f1e8-4753-8033-0f276bb0955b"
REFUSED = {"status": 403, "code": "RequestDisallowedByPolicy", "message": "No."}


async def rebuilt(spec: EnvironmentSpec, **options: Any) -> Rebuilt:
    state = await rebuild(spec, KEY, **options, return_state=True)
    found: Rebuilt = await state.aresult()
    return found


def suffixes_left(azure: SandboxProcess, spec: EnvironmentSpec) -> list[int]:
    """Generations with anything left in the sandbox."""
    left = resources(azure)
    suffixes = {number: Names.of(spec, azure.subscription_id, number).suffix for number in (1, 2, 3)}
    return [number for number, suffix in suffixes.items() if any(suffix in one for one in left)]


def states_of(ledger: list[Json], spec: EnvironmentSpec, azure: SandboxProcess) -> list[tuple[int, str]]:
    """How the groups of the generations were marked, in order."""
    numbers = {Names.of(spec, azure.subscription_id, n).resource_group.lower(): n for n in (1, 2, 3)}
    found = []
    for entry in writes(ledger):
        if entry["operation"] in ("ResourceGroups_CreateOrUpdate", "ResourceGroups_Update"):
            number = numbers.get(entry["path"].lower().rsplit("/", 1)[-1])
            if number:
                found.append((number, entry["body"]["tags"].get("aks-postgres-state", "")))
    return found


@pytest.fixture
def with_neighbour(azure: SandboxProcess, environment: EnvironmentOutputs) -> dict[str, Json]:
    """Somebody else's resources beside the environment, and an object among its backups."""
    ours = resources(azure).keys()
    make_neighbour(azure)
    give_blobs(azure, environment)
    blob(azure, "PUT", environment.storage_account.name, OBJECT)
    return {one: body for one, body in resources(azure).items() if one not in ours}


def give_blobs(azure: SandboxProcess, environment: EnvironmentOutputs) -> None:
    """Let the sandbox's caller own the blobs."""
    role = f"{azure.subscription}/providers/Microsoft.Authorization/roleDefinitions/{OWNER}"
    scope = environment.storage_account.id
    answer = azure.arm(
        "PUT",
        f"{scope}/providers/Microsoft.Authorization/roleAssignments/33333333-3333-3333-3333-333333333333",
        {
            "properties": {
                "roleDefinitionId": role,
                "principalId": azure.object_id,
                "principalType": "ServicePrincipal",
            }
        },
        api_version="2022-04-01",
    )
    assert answer.status_code == 201, answer.text
    azure.step(1000)


DEAD = "https://localhost:9/operator.yaml"


@pytest.mark.parametrize(
    ("strategy", "fields", "said"),
    shown(
        [
            ("blue_green", {"manifest_url": DEAD}, "NotSent"),
            ("replace", {"manifest_sha256": "0" * 64}, "SHA-256"),
            ("replace", {"manifest_url": DEAD}, "NotSent"),
            ("blue_green", {"manifest_sha256": "0" * 64}, "SHA-256"),
        ]
    ),
)
async def test_a_plan_with_a_step_that_failed_starts_and_deletes_nothing(
    azure: SandboxProcess,
    spec: EnvironmentSpec,
    environment: EnvironmentOutputs,
    strategy: str,
    fields: Json,
    said: str,
) -> None:
    wrong = spec.model_copy(update={"operator": spec.operator.model_copy(update=fields)})
    since = len(azure.ledger())
    with pytest.raises(RebuildRefused, match=f"preflight: can't: operator.manifest_url: .*{said}"):
        await rebuilt(wrong, strategy=strategy)
    assert writes(azure.ledger()[since:]) == []


@pytest.mark.parametrize("strategy", shown(["replace", "blue_green"], first=1))
async def test_what_a_plan_may_not_see_starts_nothing_either(
    azure: SandboxProcess, spec: EnvironmentSpec, environment: EnvironmentOutputs, strategy: str
) -> None:
    denied = {"status": 403, "code": "AuthorizationFailed", "message": "You may not read this."}
    azure.fault(denied, operation="Grafana_Get", times=None)
    since = len(azure.ledger())
    with pytest.raises((RebuildRefused, AzureRefused), match="AuthorizationFailed"):
        await rebuilt(spec, strategy=strategy)
    assert writes(azure.ledger()[since:]) == []


async def test_what_fails_after_the_deletion_says_what_is_gone_and_how_to_go_on(
    azure: SandboxProcess, spec: EnvironmentSpec, environment: EnvironmentOutputs
) -> None:
    azure.fault(REFUSED, operation="ManagedClusters_CreateOrUpdate", nth=1)
    with pytest.raises(RebuildFailed) as failed:
        await rebuilt(spec, strategy="replace")
    for text in (
        "RequestDisallowedByPolicy",
        "Generation 1 of cnpg-canadacentral is deleted",
        "Generation 2",
    ):
        assert text in str(failed.value)
    assert suffixes_left(azure, spec) == [2]
    assert (await provision(spec)).place.generation == 2


@pytest.mark.thorough
@pytest.mark.parametrize("operation", ["Grafana_Delete", "ManagedClusters_Delete", "ResourceGroups_Delete"])
@pytest.mark.parametrize("strategy", ["replace", "blue_green"])
async def test_what_fails_amid_the_deletion_says_what_is_gone_what_is_left_and_how_to_go_on(
    azure: SandboxProcess,
    spec: EnvironmentSpec,
    environment: EnvironmentOutputs,
    strategy: str,
    operation: str,
) -> None:
    azure.fault(REFUSED, operation=operation, nth=1)
    with pytest.raises(RebuildFailed) as failed:
        await rebuilt(spec, strategy=strategy)
    told = str(failed.value)
    left = {
        "Grafana_Delete": "grafana",
        "ManagedClusters_Delete": "cluster",
        "ResourceGroups_Delete": "resource group",
    }[operation]
    gone, _, rest = told.partition(" Gone: ")[2].partition(" Left: ")
    assert "RequestDisallowedByPolicy" in told
    assert "The tear-down of generation 1 of cnpg-canadacentral has begun and isn't finished." in told
    assert "Prometheus rule group" in gone
    assert left in rest.partition(". Backups")[0].split(", ")
    assert "run rebuild again with the same words" in told
    assert ("Generation 2 is made and verified, and stays." in told) == (strategy == "blue_green")
    assert suffixes_left(azure, spec) == ([1] if strategy == "replace" else [1, 2])
    assert (await rebuilt(spec, strategy=strategy)).new.generation == 2
    assert suffixes_left(azure, spec) == [2]


@pytest.mark.parametrize("strategy", ["blue_green", pytest.param("replace", marks=pytest.mark.thorough)])
async def test_the_end_is_a_new_generation_the_same_backups_and_the_neighbours_resources(
    azure: SandboxProcess,
    spec: EnvironmentSpec,
    environment: EnvironmentOutputs,
    with_neighbour: dict[str, Json],
    strategy: str,
) -> None:
    since = len(azure.ledger())
    done = await rebuilt(spec, strategy=strategy)
    ledger = azure.ledger()[since:]
    assert done.outputs.place.generation == 2
    assert suffixes_left(azure, spec) == [2]
    assert blob(azure, "GET", done.outputs.storage_account.name) == OBJECT
    left = resources(azure)
    assert {one: left.get(one) for one in with_neighbour} == with_neighbour
    theirs = ("/resourcegroups/rg-neighbour", "/resourcegroups/rg-other-")
    assert [entry for entry in writes(ledger) if any(one in entry["path"].lower() for one in theirs)] == []

    order = states_of(ledger, spec, azure)
    assert order == (
        [(2, "building"), (2, "current"), (1, "retiring")]
        if strategy == "blue_green"
        else [(1, "retiring"), (2, "building"), (2, "current")]
    )
    # In blue_green there is a finished environment at every moment.
    deletions = [entry for entry in writes(ledger) if entry["method"] == "DELETE"]
    made = [entry for entry in writes(ledger) if entry["operation"] == "ManagedClusters_CreateOrUpdate"]
    assert (deletions[0]["at_s"] > made[-1]["at_s"]) is (strategy == "blue_green")

    assert done.old is not None
    assert (done.old.generation, done.new.generation) == (1, 2)
    assert done.old.api_server == environment.cluster.fqdn
    assert done.old.public_ip == environment.public_ip.ip_address
    assert done.old.grafana == environment.grafana.endpoint
    assert done.old.oidc_issuer == environment.cluster.oidc_issuer_url
    assert done.old.identity_client_id == environment.identity.client_id
    old, new = done.old.model_dump(), done.new.model_dump()
    assert [field for field in old if old[field] == new[field] or new[field] is None] == []
    text = await artifact(f"rebuild-{KEY}")
    for expected in (environment.cluster.fqdn, done.outputs.cluster.fqdn, "Deleted, and read as gone"):
        assert expected in text
    assert (await provision(spec)).is_unchanged


async def artifact(key: str) -> str:
    """The newest artifact of that key."""
    async with get_client() as client:
        found = await client.read_artifacts(artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=[key])))
    return str(max(found, key=lambda one: one.created).data)


@pytest.mark.thorough
@pytest.mark.parametrize("if_it_fails", ["remove", "keep"])
async def test_where_the_new_generation_fails_the_old_one_stays(
    azure: SandboxProcess, spec: EnvironmentSpec, environment: EnvironmentOutputs, if_it_fails: str
) -> None:
    before = resources(azure)
    azure.fault(REFUSED, operation="ManagedClusters_CreateOrUpdate", nth=1)
    with pytest.raises(RebuildFailed) as failed:
        await rebuilt(spec, if_it_fails=if_it_fails)
    words = "was removed" if if_it_fails == "remove" else "is kept for a look"
    assert f"Generation 2 {words}, and generation 1 stays as it was." in str(failed.value)
    assert "RequestDisallowedByPolicy" in str(failed.value)
    old = {one: body for one, body in before.items() if environment.place.names.suffix in one}
    assert {one: resources(azure).get(one) for one in old} == old
    assert suffixes_left(azure, spec) == ([1] if if_it_fails == "remove" else [1, 2])
    if if_it_fails == "keep":
        assert (await provision(spec)).place.generation == 1
        assert (await rebuilt(spec)).new.generation == 2
        assert suffixes_left(azure, spec) == [2]


async def interrupted(azure: SandboxProcess, spec: EnvironmentSpec, operation: str, strategy: str) -> None:
    """Begin a rebuild and cancel it as soon as it has sent a request."""
    running = asyncio.create_task(rebuild(spec, KEY, strategy, return_state=True))
    reached = asyncio.create_task(until(azure, operation, len(azure.ledger())))
    await asyncio.wait([running, reached], return_when=asyncio.FIRST_COMPLETED)
    assert not running.done(), await running
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("strategy", "moments"),
    [
        (
            "blue_green",
            ["AgentPools_CreateOrUpdate", "Grafana_Delete"],
        ),
        ("replace", ["ManagedClusters_Delete", "ManagedClusters_CreateOrUpdate"]),
    ],
)
async def test_interrupted_it_goes_on_and_makes_no_third_generation(
    azure: SandboxProcess,
    spec: EnvironmentSpec,
    environment: EnvironmentOutputs,
    strategy: str,
    moments: list[str],
) -> None:
    for operation in moments:
        await interrupted(azure, spec, operation, strategy)
        if strategy == "blue_green":
            assert suffixes_left(azure, spec) == [1, 2]
    done = await rebuilt(spec, strategy=strategy)
    assert done.new.generation == 2
    assert suffixes_left(azure, spec) == [2]


async def test_refusals_come_before_the_first_write_and_all_at_once(
    azure: SandboxProcess, spec: EnvironmentSpec, environment: EnvironmentOutputs, tmp_path: Path
) -> None:
    azure.settings(quota={"cores": 60})
    since = len(azure.ledger())
    with database(kube_for(azure, environment, tmp_path)):
        for strategy in ("blue_green", "replace"):
            with pytest.raises(RebuildRefused) as refused:
                await rebuild(spec, KEY, strategy)
            text = str(refused.value)
            assert "Postgres cluster cnpg-database/pg" in text
            # Both generations at once need twice the quota.
            assert ("vCPUs in all are needed" in text) is (strategy == "blue_green")
    ours = [
        entry for entry in writes(azure.ledger()[since:]) if not entry["path"].startswith("/apis/postgresql")
    ]
    assert [entry for entry in ours if entry["service"] != "kubernetes"] == []


async def test_a_database_is_not_rebuilt_empty_unless_its_data_is_let_go(
    azure: SandboxProcess, spec: EnvironmentSpec, environment: EnvironmentOutputs
) -> None:
    components = {
        f"{name}_manifest_{part}": azure.description[f"{name}_manifest_{part}"]
        for name in ("cert_manager", "plugin")
        for part in ("url", "sha256")
    }
    with_one = spec_for(azure, database={"components": components})
    since = len(azure.ledger())
    with pytest.raises(
        RebuildRefused, match=r"database would be empty, .* Type cnpg-canadacentral as discard_data"
    ):
        await rebuild(with_one, KEY)
    assert writes(azure.ledger()[since:]) == []
    assert (await make_rebuild_plan(with_one, "blue_green", KEY, KEY, 60)).refusals == ()


async def test_while_another_run_writes_it_is_refused(
    azure: SandboxProcess, spec: EnvironmentSpec, environment: EnvironmentOutputs
) -> None:
    async with run_session(spec) as run, one_writer(run.azure, spec) as lock:
        await lock.secure()
        other = asyncio.create_task(_elsewhere(lambda: rebuild(spec, KEY, if_another_run="refuse")))
        with pytest.raises(EnvironmentBusy):
            await other
    assert suffixes_left(azure, spec) == [1]


async def _elsewhere(run: Callable[[], Any]) -> None:
    """Run where the lock of this test isn't held."""
    held_locks.set({})
    await run()


# Approval.


async def paused_run() -> FlowRun:
    """The run that waits for a person."""
    async with asyncio.timeout(120):
        while True:
            async with get_client() as client:
                runs = await client.read_flow_runs(limit=200)
            for run in runs:
                if run.name.startswith("rebuild") and run.state and run.state.is_paused():
                    return run
            await asyncio.sleep(0.2)


async def answered(spec: EnvironmentSpec, confirm: str, **options: Any) -> Any:
    """Start a rebuild with approval and answer it; returns its state."""
    running = asyncio.create_task(rebuild(spec, KEY, "replace", approval=True, return_state=True, **options))
    run = await paused_run()
    plan = await make_rebuild_plan(spec, "replace", KEY, None, 60)
    async with get_client() as client:
        await client.resume_flow_run(run.id, run_input={"confirm": confirm, "plan": plan.digest})
    return await running


async def test_a_refused_rebuild_changes_nothing(
    azure: SandboxProcess, spec: EnvironmentSpec, environment: EnvironmentOutputs
) -> None:
    since = len(azure.ledger())
    state = await answered(spec, "no")
    with pytest.raises(RebuildRefused, match="wasn't approved: 'no' was typed, and cnpg-canadacentral would"):
        await state.aresult()
    assert writes(azure.ledger()[since:]) == []
    text = await artifact(f"rebuild-plan-{KEY}")
    for expected in (
        "tear down generation 1, then make generation 2",
        environment.cluster.fqdn,
        "known after creation",
    ):
        assert expected in text


@pytest.mark.thorough
async def test_an_approved_rebuild_is_carried_out(
    azure: SandboxProcess, spec: EnvironmentSpec, environment: EnvironmentOutputs
) -> None:
    state = await answered(spec, KEY)
    assert (await state.aresult()).new.generation == 2


async def test_approval_of_another_plan_is_none(
    azure: SandboxProcess, spec: EnvironmentSpec, environment: EnvironmentOutputs
) -> None:
    running = asyncio.create_task(rebuild(spec, KEY, "replace", approval=True, return_state=True))
    run = await paused_run()
    since = len(azure.ledger())
    async with get_client() as client:
        await client.resume_flow_run(run.id, run_input={"confirm": KEY, "plan": "0123456789ab"})
    with pytest.raises(
        RebuildRefused, match="plan 0123456789ab was approved, and what would be done now is another"
    ):
        await (await running).aresult()
    assert writes(azure.ledger()[since:]) == []
