"""The agents that AKS brings for managed Prometheus and Container insights.

Names:
https://learn.microsoft.com/azure/azure-monitor/containers/kubernetes-monitoring-enable#verify-deployment.
They come minutes after the profile was turned on (https://github.com/Azure/AKS/issues/4973). Left out:
their configuration, and the restarts without a data collection rule.
"""

from functools import partial
from typing import Any

from azure_sandbox.kubernetes.controllers.life import Controller, Life

Json = dict[str, Any]

# "Minutes" (the issue above); the operation that turns them on has taken one to three by then.
APPEAR_S = (40.0, 120.0)
VANISH_S = (10.0, 30.0)
NAMESPACE = "kube-system"
MANAGER = "Go-http-client"

# Kind's key, name, replicas, operating system of the nodes.
METRICS = (
    ("daemonsets.apps", "ama-metrics-node", 0, "linux"),
    ("daemonsets.apps", "ama-metrics-win-node", 0, "windows"),
    ("deployments.apps", "ama-metrics", 2, "linux"),
    ("deployments.apps", "ama-metrics-ksm", 1, "linux"),
    ("deployments.apps", "ama-metrics-operator-targets", 1, "linux"),
)
LOGS = (
    ("daemonsets.apps", "ama-logs", 0, "linux"),
    ("daemonsets.apps", "ama-logs-windows", 0, "windows"),
    ("deployments.apps", "ama-logs-rs", 1, "linux"),
)
MONITORS = (("podmonitors", "PodMonitor"), ("servicemonitors", "ServiceMonitor"))
DEFINITIONS = "customresourcedefinitions.apiextensions.k8s.io"


class Addons(Controller):
    """Brings the agents and takes them away.

    Attributes:
        on: which are wanted.
    """

    def __init__(self, life: Life) -> None:
        super().__init__(life)
        self.on = {"metrics": False, "logs": False}

    def set(self, *, metrics: bool, logs: bool) -> None:
        """Have these agents, in a while, and no others."""
        for name, wanted in (("metrics", metrics), ("logs", logs)):
            if self.on[name] == wanted:
                continue
            self.on[name] = wanted
            delay_s = self.life.between(*(APPEAR_S if wanted else VANISH_S), "addon", name)
            self.life.after(delay_s, partial(self._act, name), "addon", name, str(wanted))

    def _act(self, name: str) -> None:
        for key, workload, replicas, system in METRICS if name == "metrics" else LOGS:
            if self.on[name]:
                self.make(key, _workload(workload, replicas, system), MANAGER)
            else:
                live = self.store.get(key, NAMESPACE, workload)
                if live is not None:
                    self.remove(key, live)
        if name == "metrics" and self.on[name]:
            for plural, kind in MONITORS:
                self.make(DEFINITIONS, _monitor(plural, kind), MANAGER)


def objects(name: str) -> list[tuple[str, Json]]:
    """Everything of an add-on, `metrics` or `logs`: collection's path and object."""
    apps = f"/apis/apps/v1/namespaces/{NAMESPACE}"
    found = [
        (f"{apps}/{key.partition('.')[0]}", _workload(workload, replicas, system))
        for key, workload, replicas, system in (METRICS if name == "metrics" else LOGS)
    ]
    if name == "metrics":
        prefix = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
        found += [(prefix, _monitor(plural, kind)) for plural, kind in MONITORS]
    return found


def _workload(name: str, replicas: int, system: str) -> Json:
    """A DaemonSet, or a Deployment when it has replicas."""
    labels = {"component": name}
    family = "containerinsights/ciprod" if name.startswith("ama-logs") else "prometheus-collector/images"
    template = {
        "metadata": {"labels": labels},
        "spec": {
            # By affinity: `kubectl get ds` shows no node selector in the guide.
            # https://learn.microsoft.com/azure/aks/create-postgresql-ha#update-the-monitoring-infrastructure
            "affinity": {
                "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": _nodes_of(system)}
            },
            "tolerations": [{"operator": "Exists"}],
            "containers": [{"name": name, "image": f"mcr.microsoft.com/azuremonitor/{family}:sandbox"}],
        },
    }
    spec: Json = {"selector": {"matchLabels": labels}, "template": template}
    if replicas:
        spec["replicas"] = replicas
    metadata = {
        "name": name,
        "namespace": NAMESPACE,
        "labels": {**labels, "kubernetes.azure.com/managedby": "aks"},
    }
    return {"metadata": metadata, "spec": spec}


def _nodes_of(system: str) -> Json:
    expression = {"key": "kubernetes.io/os", "operator": "In", "values": [system]}
    return {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}


def _monitor(plural: str, kind: str) -> Json:
    """The definition of the kinds by which managed Prometheus is told what to scrape."""
    group = "azmonitoring.coreos.com"
    schema = {
        "type": "object",
        "properties": {"spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
    }
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"plural": plural, "kind": kind, "singular": kind.lower(), "listKind": f"{kind}List"}
    spec = {"group": group, "scope": "Namespaced", "names": names, "versions": [version]}
    return {"metadata": {"name": f"{plural}.{group}"}, "spec": spec}
