"""Tables, the form in which kubectl asks for what it prints.

https://kubernetes.io/docs/reference/using-api/api-concepts/#receiving-resources-as-tables
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from azure_sandbox.kubernetes.resources import ResourceType
from azure_sandbox.kubernetes.times import Clock

Json = dict[str, Any]
Column = tuple[str, str, int, Callable[[Json, Clock], Any]]


def wanted(accept: str) -> bool:
    """Whether the first form that a request accepts is a table."""
    first = accept.partition(",")[0].replace(" ", "")
    return first.startswith("application/json") and "as=Table" in first and "v=v1;" in first + ";"


def table(type_: ResourceType, body: Json, include: str, clock: Clock) -> Json:
    """An object, or a list of them, as a table."""
    listed = body.get("items", [body])
    columns = _columns(type_)
    rows = []
    for obj in listed:
        row: Json = {"cells": [read(obj, clock) for _, _, _, read in columns]}
        if include == "Object":
            row["object"] = obj
        elif include != "None":
            metadata = obj["metadata"]
            kind = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1"}
            row["object"] = {**kind, "metadata": metadata}
        rows.append(row)
    metadata = {
        key: value for key, value in body["metadata"].items() if key in ("resourceVersion", "continue")
    }
    definitions = [
        {
            "name": name,
            "type": kind,
            "format": "name" if name == "Name" else "",
            "description": "",
            "priority": level,
        }
        for name, kind, level, _ in columns
    ]
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": metadata,
        "columnDefinitions": definitions,
        "rows": rows,
    }


def _columns(type_: ResourceType) -> list[Column]:
    name: Column = ("Name", "string", 0, lambda obj, clock: obj["metadata"]["name"])
    age: Column = ("Age", "string", 0, _age)
    if type_.columns:
        own = [(title, kind, level, _at_path(path)) for title, kind, path, level in type_.columns]
        return [name, *own]
    return [name, *_BUILT_IN.get(type_.kind, []), age]


def _age(obj: Json, clock: Clock) -> str:
    return _since(obj["metadata"].get("creationTimestamp"), clock)


def _since(stamp: str | None, clock: Clock) -> str:
    if not stamp:
        return "<unknown>"
    made = datetime.strptime(stamp, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    seconds = max(int((clock.now() - made).total_seconds()), 0)
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def _at_path(path: str) -> Callable[[Json, Clock], Any]:
    parts = [part for part in re.split(r"\.|\[(?:'|\")?|(?:'|\")?\]", path) if part]

    def read(obj: Json, clock: Clock) -> Any:
        node: Any = obj
        for part in parts:
            node = node.get(part) if isinstance(node, dict) else None
        if path == ".metadata.creationTimestamp":
            return _since(node, clock)
        return node

    return read


def _text(read: Callable[[Json], Any]) -> Callable[[Json, Clock], Any]:
    return lambda obj, clock: read(obj)


def _status(obj: Json) -> Json:
    status: Json = obj.get("status") or {}
    return status


def _ready_containers(obj: Json) -> str:
    states = _status(obj).get("containerStatuses") or []
    return f"{sum(bool(item['ready']) for item in states)}/{len(obj['spec'].get('containers') or [])}"


def _pod_state(obj: Json) -> str:
    if obj["metadata"].get("deletionTimestamp"):
        return "Terminating"
    for item in _status(obj).get("containerStatuses") or []:
        waiting = item.get("state", {}).get("waiting")
        if waiting:
            return str(waiting["reason"])
    return str(_status(obj).get("phase", "Pending"))


def _node_state(obj: Json) -> str:
    ready = next(
        (item["status"] for item in _status(obj).get("conditions") or [] if item["type"] == "Ready"), ""
    )
    return "Ready" if ready == "True" else "NotReady"


def _node_selector(obj: Json) -> str:
    wanted = obj["spec"]["template"].get("spec", {}).get("nodeSelector") or {}
    return ",".join(f"{key}={value}" for key, value in sorted(wanted.items())) or "<none>"


def _ports(obj: Json) -> str:
    return ",".join(
        f"{item['port']}/{item.get('protocol', 'TCP')}" for item in obj["spec"].get("ports") or []
    )


_BUILT_IN: dict[str, list[Column]] = {
    "Namespace": [("Status", "string", 0, _text(lambda obj: _status(obj).get("phase", "")))],
    "Node": [
        ("Status", "string", 0, _text(_node_state)),
        ("Roles", "string", 0, _text(lambda obj: "<none>")),
        (
            "Version",
            "string",
            0,
            _text(lambda obj: _status(obj).get("nodeInfo", {}).get("kubeletVersion", "")),
        ),
    ],
    "Pod": [
        ("Ready", "string", 0, _text(_ready_containers)),
        ("Status", "string", 0, _text(_pod_state)),
        ("Restarts", "integer", 0, _text(lambda obj: 0)),
        ("Node", "string", 1, _text(lambda obj: obj["spec"].get("nodeName") or "<none>")),
    ],
    "Deployment": [
        (
            "Ready",
            "string",
            0,
            _text(lambda obj: f"{_status(obj).get('readyReplicas', 0)}/{obj['spec'].get('replicas', 0)}"),
        ),
        ("Up-to-date", "integer", 0, _text(lambda obj: _status(obj).get("updatedReplicas", 0))),
        ("Available", "integer", 0, _text(lambda obj: _status(obj).get("availableReplicas", 0))),
    ],
    "ReplicaSet": [
        ("Desired", "integer", 0, _text(lambda obj: obj["spec"].get("replicas", 0))),
        ("Current", "integer", 0, _text(lambda obj: _status(obj).get("replicas", 0))),
        ("Ready", "integer", 0, _text(lambda obj: _status(obj).get("readyReplicas", 0))),
    ],
    "DaemonSet": [
        ("Desired", "integer", 0, _text(lambda obj: _status(obj).get("desiredNumberScheduled", 0))),
        ("Current", "integer", 0, _text(lambda obj: _status(obj).get("currentNumberScheduled", 0))),
        ("Ready", "integer", 0, _text(lambda obj: _status(obj).get("numberReady", 0))),
        ("Up-to-date", "integer", 0, _text(lambda obj: _status(obj).get("updatedNumberScheduled", 0))),
        ("Available", "integer", 0, _text(lambda obj: _status(obj).get("numberAvailable", 0))),
        ("Node Selector", "string", 0, _text(_node_selector)),
    ],
    "Service": [
        ("Type", "string", 0, _text(lambda obj: obj["spec"].get("type", ""))),
        ("Cluster-IP", "string", 0, _text(lambda obj: obj["spec"].get("clusterIP") or "<none>")),
        ("Port(s)", "string", 0, _text(_ports)),
    ],
    "Secret": [
        ("Type", "string", 0, _text(lambda obj: obj.get("type", ""))),
        ("Data", "integer", 0, _text(lambda obj: len(obj.get("data") or {}))),
    ],
    "ConfigMap": [("Data", "integer", 0, _text(lambda obj: len(obj.get("data") or {})))],
}
