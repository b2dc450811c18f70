"""Environments are told from the tags of groups and from the clusters in them, whatever else is there."""

from datetime import UTC, datetime, timedelta
from typing import Any

from aks_postgres.tasks.environments import environments_in

NOW = datetime(2026, 11, 29, tzinfo=UTC)
Json = dict[str, Any]


def group(region: str, number: int = 1, **tags: str) -> Json:
    ours = {
        "managed-by": "aks-postgres",
        "aks-postgres-environment": f"cnpg-{region}",
        "aks-postgres-region": region,
        "aks-postgres-generation": str(number),
        "aks-postgres-state": "current",
    }
    return {"name": f"rg-{region}-{number}", "location": region, "tags": ours | tags}


def cluster(of: Json, **properties: Any) -> Json:
    pools = [
        {
            "name": "system",
            "mode": "System",
            "count": 2,
            "vmSize": "Standard_D4s_v5",
            "minCount": 2,
            "maxCount": 3,
        },
        {"name": "pg", "mode": "User", "count": 3, "vmSize": "Standard_D4s_v5", "minCount": 3, "maxCount": 6},
    ]
    return {
        "id": f"/subscriptions/s/resourceGroups/{of['name'].upper()}/providers/x/managedClusters/aks",
        "name": "aks",
        "sku": {"tier": "Standard"},
        "systemData": {"createdAt": "2026-11-01T00:00:00Z"},
        "properties": {
            "provisioningState": "Succeeded",
            "powerState": {"code": "Running"},
            "currentKubernetesVersion": "1.35.4",
            "agentPoolProfiles": pools,
            **properties,
        },
    }


def test_a_hundred_environments_are_a_hundred_rows_and_nothing_foreign() -> None:
    ours = [group(f"region{number:02}") for number in range(100)]
    foreign = [
        {"name": "theirs", "tags": None},
        {"name": "also", "tags": {"managed-by": "terraform", "aks-postgres-environment": "cnpg-x"}},
        {**group("nodes"), "managedBy": "/an/aks/cluster"},
    ]
    found = environments_in([*foreign, *ours], [cluster(one) for one in ours], NOW)
    assert [one.region for one in found] == [f"region{number:02}" for number in range(100)]
    assert {(one.name, one.kubernetes_version, one.problems) for one in found} == {("cnpg", "1.35.4", ())}


def test_what_isn_t_as_it_should_be_is_a_problem() -> None:
    built, bare = group("a", **{"aks-postgres-state": "building"}), group("b")
    stopped = cluster(built, provisioningState="Failed", powerState={"code": "Stopped"})
    first, second = environments_in([built, bare], [stopped], NOW)
    assert first.problems == (
        "the environment is building",
        "the cluster is Failed",
        "the cluster is Stopped",
    )
    assert second.problems == ("there is no AKS cluster",)


def test_who_writes_is_told_until_the_heartbeat_is_overdue() -> None:
    def with_heartbeat(until: datetime) -> str | None:
        backups = group("a", **{"aks-postgres-writer": f"a-guid {until.isoformat()} the run provision"})
        del backups["tags"]["aks-postgres-generation"]
        (found,) = environments_in([backups, group("a")], [], NOW)
        return found.writer

    assert with_heartbeat(NOW + timedelta(seconds=30)) == "the run provision"
    assert with_heartbeat(NOW - timedelta(seconds=1)) is None


def test_a_cost_is_of_the_pools_that_are_there() -> None:
    one = group("canadacentral")
    (small,) = environments_in([one], [cluster(one)], NOW)
    large = cluster(one)
    large["properties"]["agentPoolProfiles"][1]["maxCount"] = 12
    (grown,) = environments_in([one], [large], NOW)
    assert small.cost_high_usd is not None
    assert grown.cost_high_usd is not None
    assert grown.cost_high_usd > small.cost_high_usd
