"""A Cluster that wants other Pods gets them one by one, the primary's last, and keeps its data."""

from __future__ import annotations

from typing import Any

import pytest

from azure_sandbox.kubernetes_client import Cluster

from .conftest import CLUSTERS, healthy, until
from .test_instances import body, server

Json = dict[str, Any]

MERGE = "application/merge-patch+json"
PODS = "/api/v1/namespaces/db/pods"


@pytest.fixture(scope="module")
async def rolling(cluster: Cluster) -> Cluster:
    await cluster.done("POST", CLUSTERS, body("roll"))
    await healthy(cluster, "roll")
    primary = await primary_of(cluster)
    await server(cluster, primary).sql("create table kept (n int); insert into kept values (7)", "appdb")
    return cluster


async def primary_of(cluster: Cluster) -> str:
    return str((await cluster.done("GET", f"{CLUSTERS}/roll"))["status"]["currentPrimary"])


async def pods_of(cluster: Cluster) -> dict[str, Json]:
    found = (await cluster.done("GET", PODS))["items"]
    return {pod["metadata"]["name"]: pod for pod in found if pod["metadata"]["name"].startswith("roll-")}


async def rolled_out(cluster: Cluster, change: Json) -> tuple[list[str], set[str]]:
    """Change the Cluster; returns in which order its Pods were made anew, and its phases meanwhile."""
    before = {name: pod["metadata"]["uid"] for name, pod in (await pods_of(cluster)).items()}
    await cluster.done("PATCH", f"{CLUSTERS}/roll", {"spec": change}, MERGE)
    order: list[str] = []
    phases: set[str] = set()

    async def done() -> bool | None:
        status = (await cluster.done("GET", f"{CLUSTERS}/roll"))["status"]
        phases.add(status["phase"])
        for name, pod in (await pods_of(cluster)).items():
            if pod["metadata"]["uid"] != before[name] and name not in order:
                order.append(name)
        return True if len(order) == 3 and status["phase"] == "Cluster in healthy state" else None

    await until(done)
    return order, phases


async def test_other_resources_restart_replicas_first_and_the_primary_in_place(rolling: Cluster) -> None:
    primary = await primary_of(rolling)
    order, phases = await rolled_out(rolling, {"resources": {"requests": {"cpu": "100m"}}})
    assert order[-1] == primary == await primary_of(rolling)
    assert order[:2] == sorted(order[:2], reverse=True)
    assert "Upgrading cluster" in phases
    assert "Failing over" not in phases
    for pod in (await pods_of(rolling)).values():
        assert pod["spec"]["containers"][0]["resources"]["requests"] == {"cpu": "100m"}
    assert await server(rolling, primary).sql("select n from kept", "appdb") == "7"


async def test_a_volume_for_the_wal_is_added_and_a_switchover_spares_the_primary_a_restart(
    rolling: Cluster,
) -> None:
    primary = await primary_of(rolling)
    order, phases = await rolled_out(
        rolling, {"walStorage": {"size": "1Gi"}, "primaryUpdateMethod": "switchover"}
    )
    assert order[-1] == primary != await primary_of(rolling)
    assert "Switchover in progress" in phases
    for name, pod in (await pods_of(rolling)).items():
        claims = [volume["persistentVolumeClaim"]["claimName"] for volume in pod["spec"]["volumes"]]
        assert claims == [name, f"{name}-wal"]
        claim = await rolling.done("GET", f"/api/v1/namespaces/db/persistentvolumeclaims/{name}-wal")
        assert claim["status"]["phase"] == "Bound"
    assert await server(rolling, await primary_of(rolling)).sql("select n from kept", "appdb") == "7"


async def test_an_image_that_is_not_there_stops_at_the_first_replica(rolling: Cluster) -> None:
    primary, image = await primary_of(rolling), "ghcr.io/cloudnative-pg/postgresql:18.1-standard-trixie"
    is_good = (await rolling.done("GET", f"{CLUSTERS}/roll"))["spec"]["imageName"]
    before = {name: pod["metadata"]["uid"] for name, pod in (await pods_of(rolling)).items()}
    await rolling.done("PATCH", f"{CLUSTERS}/roll", {"spec": {"imageName": image}}, MERGE)

    async def stuck() -> str | None:
        for name, pod in (await pods_of(rolling)).items():
            for status in pod["status"].get("containerStatuses") or []:
                if (status["state"].get("waiting") or {}).get("reason") == "ImagePullBackOff":
                    return name
        return None

    name = await until(stuck)
    now = {name: pod["metadata"]["uid"] for name, pod in (await pods_of(rolling)).items()}
    assert {each for each in now if now[each] != before[each]} == {name} != {primary}
    assert (await rolling.done("GET", f"{CLUSTERS}/roll"))["status"]["phase"] != "Cluster in healthy state"
    await rolling.done("PATCH", f"{CLUSTERS}/roll", {"spec": {"imageName": is_good}}, MERGE)
    await healthy(rolling, "roll")
    assert await primary_of(rolling) == primary


async def test_who_wants_to_be_asked_is_asked_before_the_primary_restarts(rolling: Cluster) -> None:
    primary = await primary_of(rolling)
    before = (await pods_of(rolling))[primary]["metadata"]["uid"]
    supervised = {"primaryUpdateStrategy": "supervised", "resources": {"requests": {"cpu": "200m"}}}
    await rolling.done("PATCH", f"{CLUSTERS}/roll", {"spec": supervised}, MERGE)

    async def asks() -> bool | None:
        status = (await rolling.done("GET", f"{CLUSTERS}/roll"))["status"]
        return True if status["phase"] == "Waiting for user action" else None

    await until(asks)
    assert (await pods_of(rolling))[primary]["metadata"]["uid"] == before
    await rolling.done(
        "PATCH", f"{CLUSTERS}/roll", {"spec": {"primaryUpdateStrategy": "unsupervised"}}, MERGE
    )
    await healthy(rolling, "roll")
    assert (await pods_of(rolling))[primary]["metadata"]["uid"] != before


async def test_another_major_version_is_said_not_to_be_emulated(rolling: Cluster) -> None:
    is_good = (await rolling.done("GET", f"{CLUSTERS}/roll"))["spec"]["imageName"]
    image = "ghcr.io/cloudnative-pg/postgresql:19.0-standard-trixie"
    await rolling.done("PATCH", f"{CLUSTERS}/roll", {"spec": {"imageName": image}}, MERGE)

    async def said() -> bool | None:
        status = (await rolling.done("GET", f"{CLUSTERS}/roll"))["status"]
        return True if "isn't emulated" in (status.get("phaseReason") or "") else None

    await until(said)
    await rolling.done("PATCH", f"{CLUSTERS}/roll", {"spec": {"imageName": is_good}}, MERGE)
    await healthy(rolling, "roll")
