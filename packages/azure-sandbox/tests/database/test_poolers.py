"""A Pooler's objects, and where its Service leads."""

from __future__ import annotations

from typing import Any

import pytest

from azure_sandbox.kubernetes_client import Cluster

from .conftest import CLUSTERS, healthy, until
from .test_instances import asked_through, body, patched, server

POOLERS = CLUSTERS.replace("clusters", "poolers")
DEPLOYMENT = "/apis/apps/v1/namespaces/db/deployments/pool"


@pytest.fixture(scope="module")
async def pg(cluster: Cluster) -> Cluster:
    await cluster.done("POST", CLUSTERS, body("pg", certificates={"serverAltDNSNames": ["pool"]}))
    await healthy(cluster, "pg")
    return cluster


async def ready(cluster: Cluster, count: int) -> dict[str, Any]:
    async def look() -> Any:
        answer = await cluster.send("GET", DEPLOYMENT)
        seen = answer.body.get("status") or {} if answer.status == 200 else {}
        return answer.body if seen.get("readyReplicas") == count else None

    found: dict[str, Any] = await until(look)
    return found


async def test_a_pooler_becomes_a_deployment_and_a_way_to_the_primary(pg: Cluster) -> None:
    pooler = {
        "apiVersion": "postgresql.cnpg.io/v1",
        "kind": "Pooler",
        "metadata": {"name": "pool"},
        "spec": {
            "cluster": {"name": "pg"},
            "instances": 2,
            "type": "rw",
            "pgbouncer": {"poolMode": "session"},
        },
    }
    await pg.done("POST", POOLERS, pooler)
    deployment = await ready(pg, 2)
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert (labels["cnpg.io/podRole"], labels["cnpg.io/poolerName"]) == ("pooler", "pool")

    async def active() -> bool:
        status = (await pg.done("GET", f"{POOLERS}/pool")).get("status") or {}
        return (status.get("phase"), status.get("instances")) == ("active", 2)

    await until(active)
    primary = (await healthy(pg, "pg"))["status"]["currentPrimary"]
    known = "select count(*) from pg_roles where rolname = 'cnpg_pooler_pgbouncer'"
    assert await server(pg, primary).sql(known) == "1"

    async def answers() -> bool:
        try:
            return (await asked_through(pg, "pool", "select pg_is_in_recovery()")) == "f"
        except (AssertionError, KeyError):
            return False

    await until(answers)
    # Its Pods are no instances.
    assert (await healthy(pg, "pg"))["status"]["instances"] == 3
    await patched(pg, f"{POOLERS}/pool", {"spec": {"instances": 1}})
    assert (await ready(pg, 1))["spec"]["replicas"] == 1


async def test_a_pooler_that_is_deleted_takes_its_objects_along(pg: Cluster) -> None:
    await pg.done("DELETE", f"{POOLERS}/pool")

    async def gone() -> bool:
        return (await pg.send("GET", DEPLOYMENT)).status == 404

    await until(gone)
