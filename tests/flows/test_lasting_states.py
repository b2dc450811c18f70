"""States that don't pass by themselves: named with the way out at once, by every flow, and never waited out."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from aks_postgres.flows.plan import make_plan
from aks_postgres.flows.provision import provision
from aks_postgres.flows.tear_down import tear_down
from aks_postgres.preflight.errors import PreflightFailed
from aks_postgres.reports.journal import Journal, use_journal
from aks_postgres.tear_down.errors import TearDownRefused

from ..cases import shown
from ..conftest import spec_for
from .conftest import waits_of, writes
from .stage import API_VERSIONS, CLUSTER, IDENTITY, LOGS, POOLS, POSTGRES, Stage, delete

pytestmark = pytest.mark.usefixtures("prefect_api")

KEY = "cnpg-canadacentral"
STOPPED = {"code": "Stopped"}


def _cluster_stopped(stage: Stage) -> None:
    for which in (CLUSTER, POOLS):
        for one in stage.all(which):
            one["body"]["properties"]["powerState"] = STOPPED


def _pool_stopped(stage: Stage) -> None:
    stage.one(POSTGRES)["properties"] |= {"powerState": STOPPED, "count": 0}


def _node_group_gone(stage: Stage) -> None:
    group = stage.outputs.cluster.node_resource_group_id.casefold()
    kept = [one for one in stage.state["resources"] if not one["id"].casefold().startswith(group)]
    assert len(kept) < len(stage.state["resources"])
    stage.state["resources"] = kept


def _subscription(state: str) -> Callable[[Stage], None]:
    def change(stage: Stage) -> None:
        stage.state["settings"]["subscription_state"] = state

    return change


@dataclass(frozen=True)
class Lasting:
    """A state, and the words that name it and its way out; `{group}` and `{cluster}` are the environment's."""

    change: Callable[[Stage], None]
    words: tuple[str, ...]
    stops_tear_down: tuple[str, ...] = ()

    def words_of(self, stage: Stage, words: tuple[str, ...]) -> list[str]:
        cluster = stage.outputs.cluster
        return [word.format(group=cluster.resource_group, cluster=cluster.name) for word in words]


START = "az aks start --resource-group {group} --name {cluster}"
STATES = {
    "stopped cluster": Lasting(
        _cluster_stopped,
        ("is stopped", START, "cluster.if_stopped: start"),
        ("is stopped", START, f"discard_data: {KEY}"),
    ),
    "stopped pool": Lasting(
        _pool_stopped,
        (
            "node pool postgres is stopped",
            "az aks nodepool start --resource-group {group} --cluster-name {cluster} --nodepool-name postgres",
        ),
    ),
    "node group gone": Lasting(
        _node_group_gone, ("has lost its node resource group", "aks-postgres rebuild")
    ),
    "subscription disabled": Lasting(
        _subscription("Disabled"), ("is Disabled",), ("is Disabled", "enable it")
    ),
    "subscription warned": Lasting(_subscription("Warned"), ("is Warned",), ("is Warned", "enable it")),
}
each_state = pytest.mark.parametrize("name", shown(STATES))


@each_state
async def test_a_plan_says_it(stage: Stage, name: str) -> None:
    state = STATES[name]
    state.change(stage)
    stage.azure.control("PUT", "state", stage.state)
    found = await make_plan(spec_for(stage.azure), recorded=False)
    assert not found.is_empty
    text = " ".join(step.reason or "" for step in found.refusals)
    for word in state.words_of(stage, state.words):
        assert word in text


@each_state
async def test_provision_refuses_at_once_and_writes_nothing(stage: Stage, name: str) -> None:
    state = STATES[name]
    state.change(stage)
    stage.azure.control("PUT", "state", stage.state)
    before = len(stage.azure.ledger())
    journal = Journal()
    waits = waits_of(journal)
    with use_journal(journal), pytest.raises(PreflightFailed) as refused:
        await provision(spec_for(stage.azure))
    assert waits == []
    for word in state.words_of(stage, state.words):
        assert word in str(refused.value)
    # The lock on the environment is taken before anything is looked at: its lease, and its heartbeat's tag.
    other = [
        entry for entry in writes(stage.azure.ledger()[before:]) if "lease" not in entry["path"].casefold()
    ]
    assert {(entry["method"], entry["path"]) for entry in other} <= {("PATCH", stage.outputs.backup_group.id)}


@pytest.mark.parametrize("name", shown(name for name, state in STATES.items() if state.stops_tear_down))
async def test_tear_down_refuses_at_once_with_the_way_out(stage: Stage, name: str) -> None:
    state = STATES[name]
    state.change(stage)
    stage.azure.control("PUT", "state", stage.state)
    with pytest.raises(TearDownRefused) as refused:
        await tear_down(spec_for(stage.azure), confirm=KEY)
    for word in state.words_of(stage, state.stops_tear_down):
        assert word in str(refused.value)


async def test_a_stopped_cluster_is_started_where_the_spec_says_so(stage: Stage) -> None:
    azure, cluster = stage.azure, stage.outputs.cluster
    azure.control("PUT", "state", stage.state)
    answer = azure.arm("POST", f"{cluster.id}/stop", api_version=API_VERSIONS["managedClusters"])
    assert answer.status_code == 202
    azure.step(1000)
    spec = spec_for(azure, cluster={"if_stopped": "start"})
    found = await make_plan(spec, recorded=False)
    (step,) = [one for one in found.steps if one.step == "cluster"]
    assert [str(field) for field in step.fields] == ["properties.powerState.code: Stopped -> Running"]
    assert {one.step: one.action for one in found.steps}["cnpg_operator"] == "not looked at"

    outputs = await provision(spec)
    assert outputs.changes["cluster"].kind == "updated"
    live = azure.arm("GET", cluster.id, api_version=API_VERSIONS["managedClusters"]).json()["properties"]
    assert live["powerState"] == {"code": "Running"}
    assert (await make_plan(spec, recorded=False)).is_empty


async def test_a_stopped_pool_is_started_where_the_spec_says_so(stage: Stage) -> None:
    azure = stage.azure
    azure.control("PUT", "state", stage.state)
    pool = stage.outputs.postgres_pool.id
    body = azure.arm("GET", pool, api_version=API_VERSIONS["agentPools"]).json()
    body["properties"]["powerState"] = STOPPED
    stopped = azure.arm("PUT", pool, body, api_version=API_VERSIONS["agentPools"])
    assert stopped.status_code == 200
    azure.step(1000)
    outputs = await provision(spec_for(azure, cluster={"if_stopped": "start"}))
    assert outputs.changes["node_pool"].kind == "updated"
    assert outputs.postgres_pool.count == stage.outputs.postgres_pool.count


async def test_an_identity_made_anew_under_its_name_is_given_to_the_cluster(stage: Stage) -> None:
    azure, spec = stage.azure, spec_for(stage.azure)
    azure.control("PUT", "state", stage.state)
    identity, cluster = stage.id(IDENTITY), stage.outputs.cluster.id
    delete(azure, identity, API_VERSIONS["userAssignedIdentities"])
    planned = {step.step: step for step in (await make_plan(spec, recorded=False)).steps}
    assert planned["managed_identity"].action == "create"
    assert planned["cluster"].action == "update"
    assert {field.field.rsplit(".")[-1] for field in planned["cluster"].fields} == {"principalId", "clientId"}

    outputs = await provision(spec)
    assert outputs.changes["cluster"].kind == "updated"
    live = azure.arm("GET", cluster, api_version=API_VERSIONS["managedClusters"]).json()
    (about,) = live["identity"]["userAssignedIdentities"].values()
    assert about["principalId"] == outputs.identity.principal_id != stage.outputs.identity.principal_id
    assert (await make_plan(spec, recorded=False)).is_empty


@pytest.mark.parametrize(
    ("which", "kind", "key", "step"),
    shown(
        [
            ("dataCollectionRules/MSCI", "logAnalytics", "workspaceId", "logs_rule"),
            ("dataCollectionRules/MSProm", "monitoringAccounts", "accountId", "metrics_rule"),
        ],
        first=1,
    ),
)
async def test_a_rule_of_an_earlier_workspace_is_written_again(
    stage: Stage, which: str, kind: str, key: str, step: str
) -> None:
    (destination,) = stage.one(which)["properties"]["destinations"][kind]
    now = destination[key]
    destination[key] = "00000000-0000-0000-0000-00000000dead"
    stage.azure.control("PUT", "state", stage.state)
    spec = spec_for(stage.azure)
    found = await make_plan(spec, recorded=False)
    assert [(one.step, one.fields[0].new) for one in found.changes] == [(step, now)]
    outputs = await provision(spec)
    assert outputs.changes[step].kind == "updated"
    assert (await make_plan(spec, recorded=False)).is_empty


@pytest.mark.parametrize("status", ["ForceOff", "SubscriptionSuspended"])
async def test_a_workspace_that_takes_no_data_is_named(stage: Stage, status: str) -> None:
    stage.one(LOGS)["properties"]["workspaceCapping"] = {"dataIngestionStatus": status}
    stage.azure.control("PUT", "state", stage.state)
    found = await make_plan(spec_for(stage.azure), recorded=False)
    (refusal,) = [step for step in found.refusals if step.step == "log_workspace"]
    assert f"dataIngestionStatus {status}" in refusal.reason
    assert "then run again" in refusal.reason


async def test_a_workspace_that_takes_no_data_goes_with_the_rest(stage: Stage) -> None:
    """A tear-down deletes it whatever it takes."""
    stage.one(LOGS)["properties"]["workspaceCapping"] = {"dataIngestionStatus": "ForceOff"}
    stage.azure.control("PUT", "state", stage.state)
    await tear_down(spec_for(stage.azure), confirm=KEY, discard_data=KEY)
    answer = stage.azure.arm("GET", stage.id(LOGS), api_version="2025-02-01")
    assert answer.status_code == 404
