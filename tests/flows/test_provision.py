"""What a whole run of `provision` does, as the sandbox's ledger has it."""

from collections import Counter
from itertools import pairwise
from typing import Any

from prefect import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey

from .conftest import Run, task_runs_of, without_lock_traffic


def of(run: Run, operation: str) -> dict[str, Any]:
    """The only operation of that kind that a run started."""
    (found,) = [o for o in run.operations if o["operation"] == operation and not o["spontaneous"]]
    return found


def test_first_run_makes_the_writes_of_the_guide(runs: tuple[Run, Run]) -> None:
    """The guide's commands at REST level; ours add the backup group, one role and the state tag."""
    first, _ = runs
    accepted = Counter(
        entry["operation"]
        for entry in without_lock_traffic(first.writes)
        if entry["status"] < 300 and entry["service"] == "arm"
    )
    rule_groups = accepted.pop("PrometheusRuleGroups_CreateOrUpdate")
    assert rule_groups == 6
    assert accepted == {
        "Providers_Register": 2,
        # The environment's group and the backup group; the state, once verified.
        "ResourceGroups_CreateOrUpdate": 2,
        "ResourceGroups_Update": 1,
        "UserAssignedIdentities_CreateOrUpdate": 1,
        "StorageAccounts_Create": 1,
        "BlobContainers_Create": 1,
        "BlobServices_SetServiceProperties": 1,
        "ManagementPolicies_CreateOrUpdate": 1,
        # Data Contributor, Grafana Admin, Monitoring Reader (twice), Data Reader, Network Contributor.
        "RoleAssignments_Create": 6,
        "Grafana_Create": 1,
        "Grafana_Update": 1,
        "AzureMonitorWorkspaces_CreateOrUpdate": 1,
        "Workspaces_CreateOrUpdate": 1,
        # Created, metrics on, add-on.
        "ManagedClusters_CreateOrUpdate": 3,
        "AgentPools_CreateOrUpdate": 1,
        "DataCollectionEndpoints_Create": 1,
        "DataCollectionRules_Create": 2,
        "DataCollectionRuleAssociations_Create": 2,
        "PublicIPAddresses_CreateOrUpdate": 1,
    }


def test_second_run_writes_nothing_and_waits_for_nothing(runs: tuple[Run, Run]) -> None:
    _, second = runs
    assert second.writes == []
    assert second.outputs.is_unchanged
    steps = {event.step for event in second.journal.events}
    assert len(steps) > 20
    assert [step for step in steps if second.journal.last_wait(step)] == []


def test_what_is_cheap_runs_side_by_side_and_ends_before_the_cluster_begins(runs: tuple[Run, Run]) -> None:
    first, _ = runs
    clusters = [o for o in first.operations if o["operation"] == "ManagedClusters_CreateOrUpdate"]
    cluster = min(clusters, key=lambda operation: operation["started_s"])
    begins = {
        name: first.writes_of(name)[0]
        for name in (
            "UserAssignedIdentities_CreateOrUpdate",
            "StorageAccounts_Create",
            "Grafana_Create",
            "AzureMonitorWorkspaces_CreateOrUpdate",
            "Workspaces_CreateOrUpdate",
        )
    }
    ends = {
        "StorageAccounts_Create": of(first, "StorageAccounts_Create")["ends_s"],
        "Grafana_Create": of(first, "Grafana_Create")["ends_s"],
        "Workspaces_CreateOrUpdate": of(first, "Workspaces_CreateOrUpdate")["ends_s"],
    }
    starts = {name: entry["at_s"] for name, entry in begins.items()}
    # All five are under way before the first long one ends.
    assert max(starts.values()) < min(ends.values())
    for name in ("StorageAccounts_Create", "Workspaces_CreateOrUpdate"):
        assert ends[name] <= cluster["started_s"]
    for name in (
        "UserAssignedIdentities_CreateOrUpdate",
        "AzureMonitorWorkspaces_CreateOrUpdate",
        "BlobContainers_Create",
        "RoleAssignments_Create",
    ):
        assert first.writes_of(name)[0]["at_s"] <= cluster["started_s"]
    assert ends["Grafana_Create"] > cluster["started_s"], "Grafana must not hold up the cluster"


def test_no_two_writes_to_cluster_or_pools_overlap(runs: tuple[Run, Run]) -> None:
    first, _ = runs
    ours = sorted(
        (o["started_s"], o["ends_s"])
        for o in first.operations
        if o["operation"] in ("ManagedClusters_CreateOrUpdate", "AgentPools_CreateOrUpdate")
    )
    assert len(ours) == 4
    assert all(earlier[1] <= later[0] for earlier, later in pairwise(ours))


def test_metrics_go_on_after_their_association_and_the_add_on_after_its_own(runs: tuple[Run, Run]) -> None:
    """Agents crash-loop or back off without (azure-cli, command module acs)."""
    first, _ = runs
    clusters = [entry for entry in first.writes_of("ManagedClusters_CreateOrUpdate") if entry["status"] < 300]
    metrics_on, add_on = clusters[1]["at_s"], clusters[2]["at_s"]
    associated = {
        e["path"].rsplit("/", 1)[-1]: e["at_s"]
        for e in first.writes_of("DataCollectionRuleAssociations_Create")
    }
    assert associated["ContainerInsightsMetricsExtension"] < metrics_on
    assert associated["ContainerInsightsExtension"] < add_on


def test_third_cluster_write_keeps_everything(runs: tuple[Run, Run]) -> None:
    first, _ = runs
    body = [entry for entry in first.writes_of("ManagedClusters_CreateOrUpdate") if entry["status"] < 300][2][
        "body"
    ]
    properties = body["properties"]
    assert sorted(pool["name"] for pool in properties["agentPoolProfiles"]) == ["systempool"]
    assert properties["azureMonitorProfile"]["metrics"]["enabled"] is True
    assert properties["apiServerAccessProfile"]["authorizedIPRanges"] == list(
        first.outputs.place.authorized_ip_ranges
    )
    assert properties["oidcIssuerProfile"]["enabled"] is True
    assert properties["addonProfiles"]["omsagent"]["config"]["useAADAuth"] == "true"
    assert "servicePrincipalProfile" not in properties
    assert first.outputs.identity.id.casefold() in map(
        str.casefold, body["identity"]["userAssignedIdentities"]
    )


def test_every_role_says_what_kind_of_principal_it_is_for(runs: tuple[Run, Run]) -> None:
    first, _ = runs
    assert {e["body"]["properties"]["principalType"] for e in first.writes_of("RoleAssignments_Create")} == {
        "ServicePrincipal"
    }


def test_nothing_is_written_in_the_group_that_azure_manages(runs: tuple[Run, Run]) -> None:
    first, _ = runs
    assert not [entry for entry in first.writes if "/resourcegroups/ma_" in entry["path"].lower()]


def test_outputs_hold_no_secret(runs: tuple[Run, Run], sandbox_process: Any) -> None:
    first, _ = runs
    dumped = first.outputs.model_dump_json()
    assert sandbox_process.description["client_secret"] not in dumped
    assert "BEGIN CERTIFICATE" not in dumped
    assert "client-key-data" not in dumped


async def test_summary_says_what_exists_where_to_click_and_what_was_waited_for(runs: tuple[Run, Run]) -> None:
    first, _ = runs
    async with get_client() as client:
        found = await client.read_artifacts(
            artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=["environment-cnpg-canadacentral"]))
        )
    outputs = first.outputs
    wanted = (
        outputs.cluster.name,
        outputs.grafana.endpoint,
        outputs.public_ip.ip_address,
        outputs.place.subscription_name,
        "aks-postgres kubeconfig",
        "ensure_node_pool postgres",
        "tables aren't ready yet",
        "monitoring.grafana_admins",
    )
    # Other runs of this session leave summaries under the same key.
    missing = [[text for text in wanted if text not in str(artifact.data)] for artifact in found]
    assert [] in missing


async def test_a_run_leaves_its_timeline_and_sees_azure_as_the_sandbox_does(runs: tuple[Run, Run]) -> None:
    first, _ = runs
    async with get_client() as client:
        key = ArtifactFilterKey(any_=["timeline-cnpg-canadacentral"])
        artifacts: list[Any] = await client.read_artifacts(artifact_filter=ArtifactFilter(key=key))
    shown = [str(a.data) for a in artifacts if a.flow_run_id == first.flow_run_id]
    assert len(shown) == 1
    assert shown[0].startswith("![Timeline of cnpg in canadacentral](data:image/svg+xml;base64,")
    assert "`ensure_cluster` |" in shown[0]
    ours = [o for o in first.journal.operations if o.label.startswith(("AKS cluster", "node pool"))]
    theirs = [
        o
        for o in first.operations
        if o["operation"] in ("ManagedClusters_CreateOrUpdate", "AgentPools_CreateOrUpdate")
        and not o["spontaneous"]
    ]
    accepted = [o for o in ours if o.ended_s is not None and o.ended_s - o.began_s > 0.5]
    assert len(accepted) == len(theirs) == 4


async def test_progress_of_the_cluster_is_an_artifact(runs: tuple[Run, Run]) -> None:
    async with get_client() as client:
        found = await client.read_artifacts()
    shown = [a for a in found if a.type == "progress" and "ensure_cluster" in (a.description or "")]
    assert shown
    assert "usually" in (shown[0].description or "")


async def test_task_runs_read_as_sentences_and_edges_are_the_real_ones(runs: tuple[Run, Run]) -> None:
    first, _ = runs
    steps = "ensure_blob_roles", "ensure_managed_identity", "ensure_storage_account"
    by_step = await task_runs_of(first.flow_run_id, *steps)
    names = {run.id: run.name for run in by_step.values()}
    role = by_step["ensure_blob_roles"]
    assert role.name == f"ensure_blob_roles {first.outputs.storage_account.name}"
    upstream = {names[source.id] for source in role.task_inputs["wait_for"] if source.id in names}
    assert upstream == {
        f"ensure_managed_identity {first.outputs.identity.name}",
        f"ensure_storage_account {first.outputs.storage_account.name}",
    }


def test_what_aks_counts_for_the_whole_subscription_is_asked_for_seldom(runs: tuple[Run, Run]) -> None:
    """60 at once, then one a second: https://learn.microsoft.com/azure/aks/quotas-skus-regions"""
    for run in runs:
        asked = Counter(entry["operation"] for entry in run.ledger)
        assert asked["ManagedClusters_ListClusterUserCredentials"] == 1
        assert asked["AgentPools_Get"] <= 4
