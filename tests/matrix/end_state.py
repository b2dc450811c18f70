"""What a run leaves in the sandbox, so that two ends can be compared: everything but what no two runs have alike."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import azure_sandbox.data
from aks_postgres.spec.environment import EnvironmentSpec
from aks_postgres.spec.names import Names
from azure_sandbox.client import SandboxProcess

Json = dict[str, Any]

_GUID = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|(?<![0-9a-f])[0-9a-f]{32}(?![0-9a-f])"
)
_TIME = re.compile(r"\d{4}-\d\d-\d\dt\d\d:\d\d:\d\d(\.\d+)?(z|\+00:00)?")
# What the services draw: host names, numbers of node resource groups, addresses.
_DRAWN = re.compile(
    r"(?<=-cnpg-)[a-z0-9]{2}-[0-9a-f]{4}(?=\.)|(?<=-)[a-z0-9]{8}(?=\.(?:portal\.)?hcp\.)|(?<=-)[0-9a-f]{10}(?=\.\w)|(?<=-)[0-9a-f]{4}(?=\.[\w-]+\.)"
    # A restart is named by the version of the settings that it is for.
    r"|(?<=settings-)\d+"
    r"|(?<=-)\d{8}(?![\w])|(?<![0-9a-f])[0-9a-f]{24}(?![0-9a-f])|\d+\.\d+\.\d+\.\d+(?!/)"
)
_GENERATIONS = range(1, 9)
# What Kubernetes draws, counts, or does by itself.
_OF_EACH_RUN = {
    "uid",
    "resourceVersion",
    "creationTimestamp",
    "managedFields",
    "generation",
    "status",
    "caBundle",
}
_BY_ITSELF = {
    "events",
    "pods",
    "replicasets",
    "endpoints",
    "endpointslices",
    "leases",
    "nodes",
    "controllerrevisions",
    "secrets",
    # Their names are drawn; a claim says what each is.
    "persistentvolumes",
}
_ROLES = {
    str(guid).lower()
    for guid in re.findall(
        _GUID, (Path(azure_sandbox.data.__file__).with_name("roles.yaml")).read_text().lower()
    )
}


def end_state(azure: SandboxProcess, spec: EnvironmentSpec) -> dict[str, Any]:
    """Every resource and every Kubernetes object by a name that all runs have alike.

    The sandbox's clock is brought to where nothing is going on any more. A generation's number and suffix don't
    count, only how old it is among those that are there.
    """
    state = azure.control("GET", "state")
    resources = azure.control("GET", "resources")["resources"]
    alike = _alike(azure, spec, resources)
    found = {}
    for resource in resources:
        key = alike(str(resource["id"]))
        if str(resource["type"]).lower() == "microsoft.authorization/roleassignments":
            about = resource["properties"]
            key = alike(f"{about['scope']} {about['roleDefinitionId']} {about['principalId']}")
        body = json.loads(alike(json.dumps(_sorted(resource))))
        while key in found:  # a duplicate of a role assignment, which Azure has one of only
            key += " again"
        found[key] = body
    for saved in state["resources"]:
        for kind, item in (saved["notes"].get("kubernetes") or {}).get("store", {}).get("objects", ()):
            meta = item["metadata"]
            is_by_schedule = "cnpg.io/scheduled-backup" in (meta.get("labels") or {})
            if kind.split(".")[0] not in _BY_ITSELF and not is_by_schedule:
                found[alike(f"{kind} {meta.get('namespace', '')}/{meta['name']}")] = json.loads(
                    alike(json.dumps(_bare(item)))
                )
    return found


def unlike(one: Json, other: Json) -> list[str]:
    """In what two ends differ, in few words."""
    gone = [f"missing {key}" for key in one.keys() - other.keys()]
    more = [f"besides {key}" for key in other.keys() - one.keys()]
    changed = [
        f"{key}: {path} {left!r:.120} became {right!r:.120}"
        for key in one.keys() & other.keys()
        for path, left, right in _differences(one[key], other[key])
    ]
    return sorted(gone + more + changed)


def _alike(azure: SandboxProcess, spec: EnvironmentSpec, resources: Iterable[Json]) -> Any:
    text = json.dumps(resources).lower()
    suffixes = [Names.of(spec, azure.subscription_id, number).suffix for number in _GENERATIONS]
    there = [suffix for suffix in suffixes if f"-{suffix}" in text]
    principals: dict[str, str] = {}
    for resource in resources:
        about = resource.get("properties") or {}
        identity = resource.get("identity") or {}
        kubelet = ((about.get("identityProfile") or {}).get("kubeletidentity") or {}).get("objectId")
        for guid in (about.get("principalId"), identity.get("principalId"), kubelet):
            if guid and str(resource["type"]).lower() != "microsoft.authorization/roleassignments":
                principals.setdefault(str(guid).lower(), f"principal of {resource['id']}".lower())

    def alike(given: str) -> str:
        shown = given.lower()
        shown = _GUID.sub(lambda match: principals.get(match[0], match[0]), shown)
        for age, suffix in enumerate(reversed(there)):
            # Some names are cut short.
            shown = re.sub(rf"(?<=-){suffix[:6]}({suffix[6:]})?(?![a-z0-9])", f"suffix{age}", shown)
        for number in _GENERATIONS:
            shown = shown.replace(f'"aks-postgres-generation": "{number}"', '"aks-postgres-generation": "n"')
            shown = shown.replace(
                f'"aks-postgres-last-generation": "{number}"', '"aks-postgres-last-generation": "n"'
            )
        shown = _GUID.sub(lambda match: match[0] if match[0] in _ROLES else "guid", shown)
        return _DRAWN.sub("drawn", _TIME.sub("time", shown))

    return alike


def _sorted(value: Any) -> Any:
    """Lists of named things by their names, without what changes with every write."""
    if isinstance(value, dict):
        return {
            key: _sorted(item) for key, item in value.items() if key.lower() not in ("etag", "systemdata")
        }
    if isinstance(value, list):
        items = [_sorted(item) for item in value]
        return sorted(items, key=lambda item: json.dumps(item, sort_keys=True))
    return value


def _bare(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _bare(item) for key, item in value.items() if key not in _OF_EACH_RUN}
    return [_bare(item) for item in value] if isinstance(value, list) else value


def _differences(left: Any, right: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    if isinstance(left, dict) and isinstance(right, dict):
        for key in sorted(left.keys() | right.keys()):
            yield from _differences(left.get(key), right.get(key), f"{path}.{key}" if path else str(key))
    elif left != right:
        yield path, left, right
