"""Helm 4, through its Go SDK, on the emulator: install, upgrade, history, uninstall.

It runs in a process of its own, where a call that hangs can be ended.
"""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from .conftest import Cluster
from .test_life import SYSTEM, conditions

pytestmark = pytest.mark.helm

CHART = {
    "Chart.yaml": "apiVersion: v2\nname: web\nversion: 1.0.0\nkubeVersion: '>=1.29.0-0'\n",
    "values.yaml": "replicas: 1\n",
    "crds/gadgets.yaml": """\
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: gadgets.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {plural: gadgets, singular: gadget, kind: Gadget}
  versions:
    - name: v1
      served: true
      storage: true
      schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
""",
    "templates/all.yaml": """\
apiVersion: v1
kind: ConfigMap
metadata: {name: web}
data: {replicas: "{{ .Values.replicas }}"}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: {{ .Values.replicas }}
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: "web:1"}]}
---
apiVersion: example.com/v1
kind: Gadget
metadata: {name: web}
anything: goes
""",
}

SCRIPT = """
import json, sys
import helm_python as helm
kubeconfig, chart, calls = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
with helm.Config(kubeconfig_path=kubeconfig, namespace="web") as config:
    for call, arguments in calls:
        target = [] if call in ("uninstall", "history") else [chart]
        result = getattr(config, call)(*target, "web", **arguments)
        print(json.dumps(result, default=str))
"""


async def helm(cluster: Cluster, folder: Path, *calls: tuple[str, dict[str, Any]]) -> list[Any]:
    """Do some calls one after the other; their results."""
    chart = folder / "chart"
    for name, text in CHART.items():
        (chart / name).parent.mkdir(parents=True, exist_ok=True)
        (chart / name).write_text(text)
    arguments = (str(cluster.kubeconfig(folder)), str(chart), json.dumps(calls))
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        SCRIPT,
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, error = await asyncio.wait_for(process.communicate(), 60)
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode == 0, error.decode()[-2000:]
    return [json.loads(line) for line in out.splitlines()]


async def test_release_is_installed_upgraded_and_uninstalled(emulated: Cluster, tmp_path: Path) -> None:
    assert emulated.api is not None
    assert emulated.clock is not None
    emulated.clock.set_speed(60)
    emulated.api.set_pools([SYSTEM])
    waiting = {"wait": "watcher", "timeout": 30}
    install = ("install", {"create_namespace": True, **waiting})
    upgrade = ("upgrade", {"values": {"replicas": 2}, **waiting})
    *_, history = await helm(emulated, tmp_path, install, upgrade, ("history", {}))
    assert [(item["revision"], item["status"]) for item in history] == [(1, "superseded"), (2, "deployed")]
    deployment = await emulated.done("GET", "/apis/apps/v1/namespaces/web/deployments/web")
    assert deployment["status"]["availableReplicas"] == 2
    assert conditions(deployment)["Available"] == "True"
    assert (await emulated.done("GET", "/apis/example.com/v1/namespaces/web/gadgets/web"))[
        "anything"
    ] == "goes"
    releases = await emulated.done("GET", "/api/v1/namespaces/web/secrets", labelSelector="owner=helm")
    assert [item["type"] for item in releases["items"]] == ["helm.sh/release.v1"] * 2
    await helm(emulated, tmp_path, ("uninstall", waiting))
    assert (await emulated.send("GET", "/apis/apps/v1/namespaces/web/deployments/web")).status == 404
    left = await emulated.done("GET", "/api/v1/namespaces/web/secrets", labelSelector="owner=helm")
    assert left["items"] == []
