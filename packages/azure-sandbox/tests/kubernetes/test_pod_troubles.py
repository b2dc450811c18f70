"""Deployments that never get ready: where Kubernetes says why, and that they recover."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from azure_sandbox.core.certificates import Authority
from azure_sandbox.core.clock import Clock
from azure_sandbox.core.pod_reasons import REASONS
from azure_sandbox.kubernetes import ClusterServer, KubernetesApi

from .conftest import TOKEN, Cluster, session_with
from .test_life import SYSTEM, conditions, set_pools, step
from .test_objects_contract import deployment

Json = dict[str, Any]

DEPLOYMENT = "/apis/apps/v1/namespaces/default/deployments/d"
TROUBLES: list[Json] = []


@pytest.fixture
async def troubled(authority: Authority) -> AsyncIterator[Cluster]:
    """A cluster with ready nodes, whose pods suffer from what `TROUBLES` says."""
    TROUBLES.clear()
    clock = Clock(1)
    api = KubernetesApi("tests", "1.35.2", clock, 1, token=TOKEN, troubles=lambda: TROUBLES)
    server = ClusterServer(api.app, authority.server_context())
    await server.start()
    running = asyncio.create_task(clock.run())
    async with session_with(authority.ca_file) as session:
        cluster = Cluster(server.url, authority.ca_file, False, session, clock=clock, api=api)
        set_pools(cluster, SYSTEM)
        step(cluster, 60)
        yield cluster
    running.cancel()
    api.stop()
    await server.stop()


async def _say(cluster: Cluster) -> str:
    """Everything that pods, Deployment and events say."""
    live = await cluster.done("GET", DEPLOYMENT)
    said = [f"{item['reason']}: {item['message']}" for item in live["status"]["conditions"]]
    for pod in (await cluster.done("GET", "/api/v1/namespaces/default/pods"))["items"]:
        said += [f"{item['reason']}: {item['message']}" for item in pod["status"]["conditions"]]
        for status in pod["status"].get("containerStatuses") or []:
            states = [*status["state"].values(), *(status.get("lastState") or {}).values()]
            said += [f"{state.get('reason')}: {state.get('message')}" for state in states]
    events = (await cluster.done("GET", "/api/v1/namespaces/default/events"))["items"]
    said += [f"{item['reason']}: {item['message']}" for item in events]
    return "\n".join(said)


WORDS = {
    "ErrImagePull": "ErrImagePull: failed to pull and unpack image",
    "ImagePullBackOff": "ImagePullBackOff: Back-off pulling image",
    "InvalidImageName": "InvalidImageName: Failed to apply default image tag",
    "CreateContainerConfigError": 'CreateContainerConfigError: secret "registry-settings" not found',
    "CrashLoopBackOff": "CrashLoopBackOff: back-off 5m0s restarting failed container",
    "OOMKilled": "OOMKilled: None",
    "Unhealthy": "Unhealthy: Readiness probe failed: ",
    "Unschedulable": "Unschedulable: 0/1 nodes are available: 1 Insufficient memory",
    "FailedCreate": "FailedCreate: pods ",
    "FailedAttachVolume": "FailedAttachVolume: AttachVolume.Attach failed",
    "FailedMount": "FailedMount: MountVolume",
    "ErrImageNeverPull": "is not present with pull policy of Never",
    "ImageInspectError": "ImageInspectError: Failed to inspect image",
    "CreateContainerError": "CreateContainerError: context deadline exceeded",
    "RunContainerError": "StartError: failed to create containerd task",
    "FailedCreatePodSandBox": "FailedCreatePodSandBox: Failed to create pod sandbox: ",
    "Evicted": "ContainerStatusUnknown: The container could not be located",
}


def test_every_reason_has_its_words() -> None:
    assert set(WORDS) == set(REASONS)


@pytest.mark.parametrize("reason", REASONS)
async def test_a_deployment_in_trouble_says_why_and_recovers(troubled: Cluster, reason: str) -> None:
    """https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#failed-deployment."""
    TROUBLES.append({"pod": "^default/d-", "reason": reason})
    await troubled.done("POST", "/apis/apps/v1/namespaces/default/deployments", deployment(replicas=1))
    step(troubled, 120)
    live = await troubled.done("GET", DEPLOYMENT)
    assert conditions(live)["Available"] == "False"
    assert conditions(live)["Progressing"] == "True"
    assert WORDS[reason] in await _say(troubled)
    step(troubled, 600)
    assert "ProgressDeadlineExceeded" in await _say(troubled)

    TROUBLES.clear()
    step(troubled, 120)
    live = await troubled.done("GET", DEPLOYMENT)
    assert conditions(live) == {"Available": "True", "Progressing": "True"}
