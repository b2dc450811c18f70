"""Discovery: which groups, versions and resources there are.

https://kubernetes.io/docs/concepts/overview/kubernetes-api/#discovery-api (the unaggregated form, to which
clients fall back).
"""

from typing import Any

from azure_sandbox.kubernetes.resources import Registry, ResourceType

Json = dict[str, Any]


def version(kubernetes: str) -> Json:
    """`/version` of a server, such as that of 1.34.2."""
    major, minor, _ = kubernetes.split(".", 2)
    return {
        "major": major,
        "minor": minor,
        "gitVersion": f"v{kubernetes}",
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "2026-01-01T00:00:00Z",
        "goVersion": "",
        "compiler": "",
        "platform": "linux/amd64",
    }


def core_versions() -> Json:
    """`/api`."""
    anybody = {"clientCIDR": "0.0.0.0/0", "serverAddress": "127.0.0.1"}
    return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": [anybody]}


def groups(registry: Registry) -> Json:
    """`/apis`."""
    named = {name: versions for name, versions in registry.group_versions().items() if name}
    listed = [_group(name, versions) for name, versions in named.items()]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": listed}


def group(registry: Registry, name: str) -> Json | None:
    """`/apis/{group}`."""
    versions = registry.group_versions().get(name)
    if not versions or not name:
        return None
    return {"kind": "APIGroup", "apiVersion": "v1", **_group(name, versions)}


def _group(name: str, versions: list[str]) -> Json:
    listed = [{"groupVersion": f"{name}/{item}", "version": item} for item in versions]
    return {"name": name, "versions": listed, "preferredVersion": listed[0]}


def resources(registry: Registry, group_name: str, group_version: str) -> Json | None:
    """`/api/v1` or `/apis/{group}/{version}`."""
    found = [item for item in registry.all() if (item.group, item.version) == (group_name, group_version)]
    if not found:
        return None
    listed: list[Json] = []
    for type_ in sorted(found, key=lambda item: item.plural):
        listed.append(_resource(type_))
        listed += [_subresource(type_, name) for name in sorted(type_.subresources)]
    name = f"{group_name}/{group_version}" if group_name else group_version
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": name, "resources": listed}


def _resource(type_: ResourceType) -> Json:
    listed: Json = {
        "name": type_.plural,
        "singularName": type_.singular,
        "namespaced": type_.namespaced,
        "kind": type_.kind,
        "verbs": list(type_.verbs),
    }
    if type_.short_names:
        listed["shortNames"] = list(type_.short_names)
    if type_.categories:
        listed["categories"] = list(type_.categories)
    return listed


# The kind that a subresource takes and gives, where it isn't the resource's own, and its verbs.
_SUBRESOURCES = {
    "scale": ("autoscaling", "v1", "Scale", ("get", "patch", "update")),
    "log": ("", "", "Pod", ("get",)),
    "exec": ("", "", "PodExecOptions", ("create", "get")),
    "proxy": ("", "", "PodProxyOptions", ("create", "delete", "get", "patch", "update")),
    "eviction": ("policy", "v1", "Eviction", ("create",)),
    "binding": ("", "", "Binding", ("create",)),
    "token": ("authentication.k8s.io", "v1", "TokenRequest", ("create",)),
    "finalize": ("", "", "Namespace", ("update",)),
}


def _subresource(type_: ResourceType, name: str) -> Json:
    group_name, version_name, kind, verbs = _SUBRESOURCES.get(
        name, ("", "", type_.kind, ("get", "patch", "update"))
    )
    listed: Json = {
        "name": f"{type_.plural}/{name}",
        "singularName": "",
        "namespaced": type_.namespaced,
        "kind": kind,
        "verbs": list(verbs),
    }
    if group_name:
        listed |= {"group": group_name, "version": version_name}
    return listed
