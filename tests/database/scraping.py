"""What managed Prometheus would read of a sandbox's cluster, and what `promtool` says of rules over it.

The PodMonitors that the product made choose the pods and ports, and Prometheus' own rules the labels: a metric's label
that its target has too becomes `exported_`
(https://prometheus.io/docs/prometheus/latest/configuration/configuration/#scrape_config). Managed Prometheus reads
kubelets besides, of which it keeps a list, and writes the AKS cluster's name into `cluster`
(https://learn.microsoft.com/azure/azure-monitor/containers/prometheus-metrics-scrape-default).
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from ..tasks.kube import Kube

Json = dict[str, Any]

MONITORS = "/apis/azmonitoring.coreos.com/v1/podmonitors"
KUBELET = {"kubelet_volume_stats_used_bytes", "kubelet_volume_stats_capacity_bytes"}
# Points in time, which go along when `promtool`, whose time begins at zero, is told what time it is.
_MOMENTS = re.compile(r".*(_timestamp(_seconds)?|_(archived|failed|start)_time)")
_EVALUATED_S = 6 * 3600


@dataclass(frozen=True)
class Sample:
    """One sample as Prometheus stores it."""

    name: str
    labels: tuple[tuple[str, str], ...]
    value: float


def scraped(kube: Kube, aks_cluster: str) -> list[Sample]:
    """Everything that is read at once."""
    found = []
    for target, path in _targets(kube):
        kept = KUBELET if target.get("job") == "kubelet" else None
        status, text = kube.text(path)
        if status != 200:
            continue
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if kept is None or sample.name in kept:
                    labels = {
                        f"exported_{name}" if name in target else name: value
                        for name, value in sample.labels.items()
                    }
                    labels |= {**target, "cluster": aks_cluster}
                    found.append(Sample(sample.name, tuple(sorted(labels.items())), sample.value))
    return found


def _targets(kube: Kube) -> Iterator[tuple[dict[str, str], str]]:
    pods = (kube.get("/api/v1/pods") or {})["items"]
    for monitor in (kube.get(MONITORS) or {})["items"]:
        own, spec = monitor["metadata"]["namespace"], monitor["spec"]
        anywhere = (spec.get("namespaceSelector") or {}).get("any", False)
        for pod in pods:
            metadata = pod["metadata"]
            if not (anywhere or metadata["namespace"] == own):
                continue
            if not spec["selector"]["matchLabels"].items() <= (metadata.get("labels") or {}).items():
                continue
            for container in pod["spec"]["containers"]:
                for port in container.get("ports") or []:
                    if {"port": port.get("name")} in spec["podMetricsEndpoints"]:
                        at = f"{metadata['name']}:{port['containerPort']}"
                        path = f"/api/v1/namespaces/{metadata['namespace']}/pods/{at}/proxy/metrics"
                        yield (
                            _of_pod(metadata, container["name"], f"{own}/{monitor['metadata']['name']}"),
                            path,
                        )
    for node in (kube.get("/api/v1/nodes") or {})["items"]:
        name = node["metadata"]["name"]
        yield {"job": "kubelet", "instance": name}, f"/api/v1/nodes/{name}/proxy/metrics"


def _of_pod(metadata: Json, container: str, job: str) -> dict[str, str]:
    names = {"namespace": metadata["namespace"], "pod": metadata["name"], "container": container}
    return {**names, "job": job, "instance": metadata["name"]}


def promtool() -> str | None:
    """Prometheus' own tool, where it is installed: `apt-get install prometheus`."""
    return shutil.which("promtool")


def firing(rules: list[Json], samples: list[Sample], now_s: float, folder: Path) -> set[str]:
    """The alerts that fire once these samples have stood longer than any rule waits.

    Args:
        rules: as ARM takes them.
        samples: what is known, and stays so.
        now_s: what time it is then, in seconds since 1970.
        folder: for `promtool`'s files.
    """
    as_prometheus = [
        {"alert": rule["alert"], "expr": rule["expression"], "for": rule["for"].removeprefix("PT").lower()}
        for rule in rules
    ]
    series = []
    for sample in samples:
        value = sample.value - now_s + _EVALUATED_S if _MOMENTS.fullmatch(sample.name) else sample.value
        if value == value:
            labels = ",".join(f"{name}={json.dumps(text)}" for name, text in sample.labels)
            series.append(
                {"series": f"{sample.name}{{{labels}}}", "values": f"{value:f}+0x{_EVALUATED_S // 60}"}
            )
    (folder / "rules.yaml").write_text(json.dumps({"groups": [{"name": "all", "rules": as_prometheus}]}))
    # Expected of each is that it is silent; what isn't is in what `promtool` says then.
    asked = [
        {
            "expr": f'count(ALERTS{{alertname="{rule["alert"]}",alertstate="firing"}}) > bool 0 or vector(0)',
            "eval_time": f"{_EVALUATED_S}s",
            "exp_samples": [{"labels": "{}", "value": 0}],
        }
        for rule in rules
    ]
    test = {"interval": "1m", "input_series": series, "promql_expr_test": asked}
    (folder / "test.yaml").write_text(
        json.dumps({"rule_files": ["rules.yaml"], "evaluation_interval": "1m", "tests": [test]})
    )
    program = promtool()
    assert program is not None
    done = subprocess.run(
        [program, "test", "rules", "test.yaml"], cwd=folder, capture_output=True, text=True, check=False
    )
    said = done.stdout + done.stderr
    found = set(re.findall(r'expr: "count\(ALERTS\{alertname=\\?"(\w+)', said))
    assert (done.returncode != 0) == bool(found), said
    return found
