"""Services: the Endpoints and EndpointSlices behind them.

Left out: addresses of load balancers, which stay pending.
"""

from functools import partial
from typing import Any

from azure_sandbox.kubernetes.conditions import is_true
from azure_sandbox.kubernetes.controllers.life import Controller, owner_reference
from azure_sandbox.kubernetes.store import Event

Json = dict[str, Any]

REACT_S = 0.3
SLICES = "endpointslices.discovery.k8s.io"
MANAGER = "kube-controller-manager"


class Services(Controller):
    """Lists the ready pods of each Service's selector."""

    def on_change(self, event: Event) -> None:
        """See to a Service when it changes, or a pod of its namespace."""
        metadata = event.obj["metadata"]
        if event.key == "services":
            self._soon(metadata["namespace"], metadata["name"])
        elif event.key == "pods":
            for service in self.store.all("services", metadata["namespace"]):
                selector = service["spec"].get("selector")
                if selector and selector.items() <= (metadata.get("labels") or {}).items():
                    self._soon(metadata["namespace"], service["metadata"]["name"])

    def _soon(self, namespace: str, name: str) -> None:
        self.life.after(REACT_S, partial(self._reconcile, namespace, name), "service", namespace, name)

    def _reconcile(self, namespace: str, name: str) -> None:
        service = self.store.get("services", namespace, name)
        if service is None:
            self.store.remove("endpoints", namespace, name)
            return
        selector = service["spec"].get("selector")
        if not selector:
            return
        pods = [
            pod
            for pod in self.store.all("pods", namespace)
            if selector.items() <= (pod["metadata"].get("labels") or {}).items()
            and pod.get("status", {}).get("podIP")
            and not pod["metadata"].get("deletionTimestamp")
        ]
        self._write_endpoints(service, pods)
        self._write_slice(service, pods)

    def _write_endpoints(self, service: Json, pods: list[Json]) -> None:
        metadata = service["metadata"]
        at = (metadata["namespace"], metadata["name"])
        subsets: list[Json] = []
        if pods:
            subset: Json = {"ports": _ports(service, pods[0])}
            for field, ready in (("addresses", True), ("notReadyAddresses", False)):
                addresses = [_address(pod) for pod in pods if is_true(pod, "Ready") is ready]
                if addresses:
                    subset[field] = addresses
            subsets.append(subset)
        self.make("endpoints", {"metadata": {"name": at[1], "namespace": at[0]}})

        def change(obj: Json) -> None:
            obj["subsets"] = subsets
            if not subsets:
                del obj["subsets"]

        self.objects.write("endpoints", *at, change, MANAGER)

    def _write_slice(self, service: Json, pods: list[Json]) -> None:
        metadata = service["metadata"]
        found = self.owned(SLICES, service)
        if not found:
            obj = {
                "metadata": {
                    "generateName": f"{metadata['name']}-",
                    "namespace": metadata["namespace"],
                    "labels": {"kubernetes.io/service-name": metadata["name"]},
                    "ownerReferences": [owner_reference(service)],
                },
                "addressType": "IPv4",
                "endpoints": [],
                "ports": [],
            }
            made = self.make(SLICES, obj)
            if made is None:
                return
            found = [made]
        endpoints = [
            {
                "addresses": [pod["status"]["podIP"]],
                "conditions": {"ready": is_true(pod, "Ready"), "serving": True, "terminating": False},
                "nodeName": pod["spec"]["nodeName"],
                "targetRef": _address(pod)["targetRef"],
            }
            for pod in pods
        ]

        def change(obj: Json) -> None:
            obj["endpoints"] = endpoints
            obj["ports"] = _ports(service, pods[0]) if pods else []

        slice_ = found[0]["metadata"]
        self.objects.write(SLICES, slice_["namespace"], slice_["name"], change, MANAGER)


def _address(pod: Json) -> Json:
    metadata = pod["metadata"]
    return {
        "ip": pod["status"]["podIP"],
        "nodeName": pod["spec"]["nodeName"],
        "targetRef": {
            "kind": "Pod",
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            "uid": metadata["uid"],
        },
    }


def _ports(service: Json, pod: Json) -> list[Json]:
    named = {
        port["name"]: port["containerPort"]
        for container in pod["spec"]["containers"]
        for port in container.get("ports") or []
        if port.get("name")
    }
    found = []
    for port in service["spec"].get("ports") or []:
        target = port.get("targetPort", port["port"])
        item = {"port": named.get(target, target), "protocol": port.get("protocol", "TCP")}
        if isinstance(item["port"], int):
            found.append({**item, "name": port["name"]} if port.get("name") else item)
    return found
