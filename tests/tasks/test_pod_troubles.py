"""Why a pod isn't ready, read from whatever Kubernetes shows of it."""

from pathlib import Path
from typing import Any

import pytest

from aks_postgres.arm.client import current_azure
from aks_postgres.kubernetes.client import kubernetes_api
from aks_postgres.kubernetes.pod_troubles import told, trouble_of, troubles_of
from azure_sandbox.core.pod_reasons import REASONS

from ..cases import shown
from .kube import Kube
from .world import World

Json = dict[str, Any]
# Which aren't in the pod itself.
SHOWN = {"Unhealthy", "FailedCreate"}


def pod(**status: Any) -> Json:
    return {"metadata": {"name": "p", "namespace": "n"}, "status": status}


def waiting(reason: str, **more: Any) -> Json:
    state = {"waiting": {"reason": reason, "message": "why"}}
    return pod(containerStatuses=[{"name": "c", "ready": False, "state": state, **more}])


NONE = {
    "ready": pod(conditions=[{"type": "Ready", "status": "True"}]),
    "just made": {"metadata": {"name": "p"}},
    "starting": waiting("ContainerCreating"),
    "initializing": waiting("PodInitializing"),
    "odd": pod(containerStatuses=["x", {"ready": False, "state": [], "lastState": 7}]),
    "ending": {**waiting("CrashLoopBackOff"), "metadata": {"name": "p", "deletionTimestamp": "now"}},
}
SOME = {
    "container": (waiting("ErrImagePull"), "ErrImagePull: container c: why"),
    "init container": (
        pod(initContainerStatuses=[{"name": "i", "state": {"waiting": {"reason": "ImagePullBackOff"}}}]),
        "ImagePullBackOff: container i: no message",
    ),
    "ended": (
        pod(containerStatuses=[{"name": "c", "state": {"terminated": {"reason": "Error", "exitCode": 2}}}]),
        "Error: container c",
    ),
    "killed": (
        waiting("CrashLoopBackOff", lastState={"terminated": {"reason": "OOMKilled", "exitCode": 137}}),
        "OOMKilled: container c was killed for its memory",
    ),
    "unscheduled": (
        pod(conditions=[{"type": "PodScheduled", "status": "False", "message": "0/3 nodes"}]),
        "Unschedulable: 0/3 nodes",
    ),
    "never began": (
        waiting(
            "CrashLoopBackOff", lastState={"terminated": {"reason": "StartError", "message": "no such file"}}
        ),
        "RunContainerError: container c: no such file",
    ),
    "evicted, with its container": (
        pod(
            phase="Failed",
            reason="Evicted",
            message="MemoryPressure",
            containerStatuses=[{"name": "c", "state": {"terminated": {"reason": "ContainerStatusUnknown"}}}],
        ),
        "Evicted: MemoryPressure",
    ),
    "evicted": (pod(phase="Failed", reason="Evicted", message="DiskPressure"), "Evicted: DiskPressure"),
}


@pytest.mark.parametrize("name", NONE)
def test_a_pod_without_trouble_has_none(name: str) -> None:
    assert trouble_of(NONE[name]) is None


@pytest.mark.parametrize("name", SOME)
def test_a_pod_in_trouble_says_which(name: str) -> None:
    given, words = SOME[name]
    found = trouble_of(given)
    assert found is not None
    assert str(found).startswith(f"pod n/p: {words}")
    assert told([found]).endswith(".")
    assert "{" not in found.way_out


@pytest.mark.parametrize("reason", shown(["Unhealthy", "FailedCreate", *sorted({*REASONS} - SHOWN)]))
async def test_the_reason_is_found_wherever_kubernetes_says_it(
    world: World, tmp_path: Path, reason: str
) -> None:
    """In an event only, on the Deployment only, or in the pod."""
    await world.prepare("node_pool")
    cluster, kube = world.made["cluster"], Kube(world, tmp_path)
    world.azure.settings(pods=[{"pod": "^default/d-", "reason": reason}])
    labels = {"app": "d"}
    template = {
        "metadata": {"labels": labels},
        "spec": {"containers": [{"name": "c", "image": "i.example/x:1"}]},
    }
    spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
    path = "/apis/apps/v1/namespaces/default/deployments"
    kube.create(path, {"metadata": {"name": "d"}, "spec": spec})
    world.azure.step(60)
    live = kube.get(f"{path}/d")
    assert live is not None
    async with kubernetes_api(current_azure(), cluster.resource_group, cluster.name) as api:
        found = await troubles_of(api, live)
    # The pod that is made in place of an evicted one finds no node.
    assert [one.reason for one in found] == [reason, *(["Unschedulable"] if reason == "Evicted" else [])]
    assert "describe pod" not in told(found)  # each has a way out of its own
