"""The exporters of instances, as Prometheus would scrape them."""

from __future__ import annotations

import os
import re
import signal
from typing import Any

import pytest

from azure_sandbox.kubernetes_client import Cluster

from .conftest import CLUSTERS, healthy, until
from .test_instances import body, server

Sample = dict[tuple[str, str], float]


@pytest.fixture(scope="module")
async def pg(cluster: Cluster) -> Cluster:
    await cluster.done("POST", CLUSTERS, body("pg", walStorage={"size": "1Gi"}))
    await healthy(cluster, "pg")
    return cluster


async def told(cluster: Cluster, path: str) -> Sample:
    """Metrics through the API server: by name and labels."""
    url = f"{cluster.url}/api/v1/{path}/proxy/metrics"
    async with cluster.session.get(url, headers={"authorization": f"Bearer {cluster.token}"}) as answer:
        text = await answer.text()
    assert answer.status == 200, text
    assert answer.content_type == "text/plain"
    lines = [re.fullmatch(r"(\w+)(\{.*\})? (\S+)", line) for line in text.splitlines() if line[0] != "#"]
    return {(found[1], found[2] or ""): float(found[3]) for found in lines if found}


def instance(name: str) -> str:
    return f"namespaces/db/pods/{name}:9187"


async def test_an_instance_tells_what_its_server_says(pg: Cluster) -> None:
    primary, replica = await told(pg, instance("pg-1")), await told(pg, instance("pg-2"))
    up = ("cnpg_collector_up", '{cluster="pg"}')
    assert (primary[up], replica[up]) == (1, 1)
    assert primary["cnpg_collector_sync_replicas", '{value="observed"}'] == 1
    assert primary["cnpg_collector_nodes_used", ""] == 3
    role, streaming = ("cnpg_pg_replication_in_recovery", ""), ("cnpg_pg_replication_streaming_replicas", "")
    assert (primary[role], replica[role], primary[streaming]) == (0, 1, 2)
    assert replica["cnpg_pg_replication_is_wal_receiver_up", ""] == 1
    archived = ("cnpg_pg_stat_archiver_last_failed_time", "")
    assert (archived in primary, archived in replica) == (True, False)
    size = float(await server(pg, "pg-1").sql("select pg_database_size('appdb')"))
    assert primary["cnpg_pg_database_size_bytes", '{datname="appdb"}'] == pytest.approx(size, rel=0.1)
    await server(pg, "pg-1").sql("create table grown as select generate_series(1, 200000) as n", "appdb")
    grown = await told(pg, instance("pg-1"))
    assert grown["cnpg_pg_database_size_bytes", '{datname="appdb"}'] > size + 5_000_000


async def test_the_exporter_listens_where_a_scraper_finds_it(pg: Cluster) -> None:
    where: dict[str, Any] = pg.api.postgres.shown()["instances"]["db/pg-1"]  # type: ignore[union-attr]
    async with pg.session.get(where["metrics"], ssl=False) as answer:
        assert "cnpg_collector_up" in await answer.text()


async def test_a_kubelet_measures_the_volumes_of_its_node(pg: Cluster) -> None:
    pod = await pg.done("GET", "/api/v1/namespaces/db/pods/pg-2")
    found = await told(pg, f"nodes/{pod['spec']['nodeName']}")
    for claim, least in (("pg-2", 20e6), ("pg-2-wal", 16e6)):
        labels = f'{{namespace="db",persistentvolumeclaim="{claim}"}}'
        assert least < found["kubelet_volume_stats_used_bytes", labels] < 2**30
        assert found["kubelet_volume_stats_capacity_bytes", labels] == 2**30
    assert not [labels for _, labels in found if "pg-1" in labels]


async def test_what_is_not_there_is_not_reached(pg: Cluster) -> None:
    for name, status in (("pg-1:9999", 503), ("pg-9:9187", 404)):
        url = f"{pg.url}/api/v1/namespaces/db/pods/{name}/proxy/metrics"
        async with pg.session.get(url, headers={"authorization": f"Bearer {pg.token}"}) as answer:
            assert answer.status == status


async def test_a_frozen_server_is_not_up(pg: Cluster) -> None:
    process = server(pg, "pg-3").process
    os.kill(process.pid, signal.SIGSTOP)
    try:
        found = await told(pg, instance("pg-3"))
    finally:
        os.kill(process.pid, signal.SIGCONT)
    assert found["cnpg_collector_up", '{cluster="pg"}'] == 0
    assert found["cnpg_collector_last_collection_error", ""] == 1
    assert ("cnpg_pg_replication_lag", "") not in found

    async def again() -> bool:
        return (await told(pg, instance("pg-3"))).get(("cnpg_collector_up", '{cluster="pg"}')) == 1

    await until(again)
