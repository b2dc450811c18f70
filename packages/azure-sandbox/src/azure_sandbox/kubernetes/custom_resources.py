"""CustomResourceDefinitions: what they declare becomes served types.

https://kubernetes.io/docs/reference/kubernetes-api/extend-resources/custom-resource-definition-v1/
Left out: conversion webhooks (all versions share their content), the scale subresource.
"""

import re
from typing import Any

from azure_sandbox.kubernetes import errors
from azure_sandbox.kubernetes.conditions import is_true
from azure_sandbox.kubernetes.resources import ResourceType

Json = dict[str, Any]

CLEANUP = "customresourcecleanup.apiextensions.k8s.io"
"""The finalizer with which a definition waits until its objects are gone."""


def complete(definition: Json) -> None:
    """Set what follows from other fields, in place; types are checked only afterwards."""
    spec = definition.get("spec")
    if not isinstance(spec, dict):
        return
    spec.setdefault("conversion", {"strategy": "None"})
    names = spec.get("names")
    if isinstance(names, dict):
        kind = str(names.get("kind", ""))
        names.setdefault("singular", kind.lower())
        names.setdefault("listKind", f"{kind}List")


def broken(definition: Json, before: Json | None) -> list[Json]:
    """Causes for what a definition may not say."""
    found = []
    name, spec = definition["metadata"].get("name", ""), definition.get("spec") or {}
    names = spec.get("names") or {}
    wanted = f"{names.get('plural')}.{spec.get('group')}"
    if name != wanted:
        text = 'must be spec.names.plural+"."+spec.group'
        found.append(errors.bad_value("metadata.name", name, text))
    if spec.get("scope") not in ("Namespaced", "Cluster"):
        found.append(errors.unsupported("spec.scope", spec.get("scope", ""), ("Cluster", "Namespaced")))
    versions = spec.get("versions") or []
    if sum(bool(version.get("storage")) for version in versions) != 1:
        text = "must have exactly one version marked as storage version"
        found.append(errors.bad_value("spec.versions", "", text))
    for index, version in enumerate(versions):
        if not (version.get("schema") or {}).get("openAPIV3Schema"):
            path = f"spec.versions[{index}].schema.openAPIV3Schema"
            found.append(errors.required(path, "schemas are required"))
    if before is not None:
        old = before.get("spec", {})
        for field in ("group", "scope"):
            if old.get(field) != spec.get(field):
                found.append(errors.bad_value(f"spec.{field}", spec.get(field), "field is immutable"))
    return found


def types(definition: Json) -> list[ResourceType]:
    """The types that a definition declares: one for each version served."""
    spec = definition["spec"]
    names = spec["names"]
    found = []
    for version in sorted(spec["versions"], key=_priority):
        if not version.get("served"):
            continue
        found.append(
            ResourceType(
                group=spec["group"],
                version=version["name"],
                plural=names["plural"],
                kind=names["kind"],
                namespaced=spec["scope"] == "Namespaced",
                singular=names["singular"],
                list_kind=names["listKind"],
                short_names=tuple(names.get("shortNames") or ()),
                categories=tuple(names.get("categories") or ()),
                subresources=frozenset({"status"} & set(version.get("subresources") or {})),
                generation=True,
                custom=True,
                schema=version["schema"]["openAPIV3Schema"],
                columns=tuple(
                    (column["name"], column["type"], column["jsonPath"], column.get("priority", 0))
                    for column in version.get("additionalPrinterColumns") or ()
                ),
            )
        )
    return found


def _priority(version: Json) -> tuple[Any, ...]:
    """Stable versions before beta before alpha, higher numbers first."""
    found = re.fullmatch(r"v(\d+)(?:(alpha|beta)(\d+))?", version["name"])
    if not found:
        return (3, 0, 0, version["name"])
    level = {None: 0, "beta": 1, "alpha": 2}[found[2]]
    return (level, -int(found[1]), -int(found[3] or 0), "")


def established(definition: Json) -> bool:
    """Whether the definition's types are served."""
    return is_true(definition, "Established")


def first_status(definition: Json) -> Json:
    """The status of a new definition."""
    stored = [version["name"] for version in definition["spec"]["versions"] if version.get("storage")]
    return {"conditions": [], "acceptedNames": {"plural": "", "kind": ""}, "storedVersions": stored}


def accepted(definition: Json, now: str) -> Json:
    """The status once names are accepted and types served."""
    spec = definition["spec"]
    names = {**spec["names"]}
    condition = {"status": "True", "lastTransitionTime": now}
    return {
        "conditions": [
            {
                "type": "NamesAccepted",
                **condition,
                "reason": "NoConflicts",
                "message": "no conflicts found",
            },
            {
                "type": "Established",
                **condition,
                "reason": "InitialNamesAccepted",
                "message": "the initial names have been accepted",
            },
        ],
        "acceptedNames": names,
        "storedVersions": [version["name"] for version in spec["versions"] if version.get("storage")],
    }
