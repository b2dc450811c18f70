"""A Cluster's phases are those of the release, in its words and its order."""

import os
import signal

import pytest

from azure_sandbox.kubernetes.controllers.postgres.operator import ClusterWork
from azure_sandbox.kubernetes_client import Cluster

from .conftest import CLUSTERS, healthy, until
from .test_instances import body, patched, server

# What the phase says on the way to healthy, by what is done: `internal/controller/cluster_controller.go`,
# `replicas.go` and `cluster_create.go` of CloudNativePG 1.30.0, whose words are in api/v1/cluster_types.go.
PHASES = {
    "created": ("Setting up primary", "Creating a new replica"),
    "primary killed": ("Failing over",),
    "switched over": ("Switchover in progress",),
}
BETWEEN = {"Waiting for the instances to become active"}
"""Which may be seen on the way of each."""


async def test_phases_are_those_of_the_release(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    phase = ClusterWork.phase

    def noted(work: ClusterWork, text: str, reason: str = "") -> None:
        if work.name == "two" and text not in said[-1:]:
            said.append(text)
        phase(work, text, reason)

    monkeypatch.setattr(ClusterWork, "phase", noted)
    await cluster.done("POST", CLUSTERS, body("two", instances=2))
    seen = {}
    for act in PHASES:
        if act != "created":
            said.clear()
            status = (await cluster.done("GET", f"{CLUSTERS}/two"))["status"]
            old = status["currentPrimary"]
            new = next(name for name in status["instanceNames"] if name != old)
            if act == "primary killed":
                os.kill(server(cluster, old).process.pid, signal.SIGKILL)
            else:
                change = {"targetPrimary": new, "phase": PHASES[act][0]}
                await patched(cluster, f"{CLUSTERS}/two/status", {"status": change})

            async def moved(old: str = old) -> bool:
                found = await cluster.done("GET", f"{CLUSTERS}/two")
                return bool(found["status"]["currentPrimary"] != old)

            await until(moved)
        await healthy(cluster, "two")
        # Until what was done is noticed, it says what it said before.
        noticed = said.index(PHASES[act][0])
        seen[act] = [one for one in said[noticed:] if one not in BETWEEN]
    assert seen == {act: [*phases, "Cluster in healthy state"] for act, phases in PHASES.items()}
    await cluster.done("DELETE", f"{CLUSTERS}/two")
