"""A Cluster is three real servers: made, asked, killed, frozen, switched over."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest

from azure_sandbox.kubernetes_client import Cluster

from .conftest import CLUSTERS, healthy, until

Json = dict[str, Any]

SPEC: Json = {
    "instances": 3,
    "imageName": "ghcr.io/cloudnative-pg/postgresql:18.6-standard-trixie",
    "storage": {"size": "1Gi"},
    "bootstrap": {"initdb": {"database": "appdb", "owner": "app", "dataChecksums": True}},
    "postgresql": {
        "synchronous": {"method": "any", "number": 1},
        "parameters": {"log_statement": "ddl", "shared_buffers": "4GB", "pg_stat_statements.max": "10000"},
    },
}


def body(name: str, **spec: Any) -> Json:
    return {
        "apiVersion": "postgresql.cnpg.io/v1",
        "kind": "Cluster",
        "metadata": {"name": name},
        "spec": {**SPEC, **spec},
    }


@pytest.fixture(scope="module")
async def pg(cluster: Cluster) -> Cluster:
    await cluster.done("POST", CLUSTERS, body("pg"))
    await healthy(cluster, "pg")
    return cluster


def server(cluster: Cluster, name: str) -> Any:
    work = cluster.api.postgres.work_of("db", name)  # type: ignore[union-attr]
    return work.instances[name].server


async def test_three_servers_stream_from_one(pg: Cluster) -> None:
    obj = await healthy(pg, "pg")
    primary = obj["status"]["currentPrimary"]
    streaming = await server(pg, primary).sql(
        "select string_agg(application_name || ' ' || state, ',' order by 1) from pg_stat_replication"
    )
    assert streaming == "pg-2 streaming,pg-3 streaming"
    assert await server(pg, primary).sql("show synchronous_standby_names") == 'ANY 1 ("pg-2","pg-3","pg-1")'
    assert await server(pg, primary).sql("show data_checksums") == "on"
    identifier = await server(pg, primary).sql("select system_identifier from pg_control_system()")
    assert obj["status"]["systemID"] == identifier
    pods = (await pg.done("GET", "/api/v1/namespaces/db/pods"))["items"]
    assert len({pod["spec"]["nodeName"] for pod in pods}) == 3
    roles = {pod["metadata"]["name"]: pod["metadata"]["labels"]["cnpg.io/instanceRole"] for pod in pods}
    assert roles == {"pg-1": "primary", "pg-2": "replica", "pg-3": "replica"}


async def test_a_killed_primary_is_replaced_and_comes_back_as_a_standby(pg: Cluster) -> None:
    before = await healthy(pg, "pg")
    old = before["status"]["currentPrimary"]
    await server(pg, old).sql(
        "create table kept (n int); insert into kept select generate_series(1, 100)", "appdb"
    )
    os.kill(server(pg, old).process.pid, signal.SIGKILL)

    async def moved() -> bool:
        obj = await pg.done("GET", f"{CLUSTERS}/pg")
        return bool(obj["status"]["currentPrimary"] != old)

    await until(moved)
    after = await healthy(pg, "pg")
    new = after["status"]["currentPrimary"]
    assert await server(pg, new).sql("select count(*) from kept", "appdb") == "100"
    assert await server(pg, old).sql("select pg_is_in_recovery()") == "t"
    assert after["status"]["timelineID"] == before["status"]["timelineID"] + 1
    assert after["status"]["systemID"] == before["status"]["systemID"]
