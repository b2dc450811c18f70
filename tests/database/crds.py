"""The schemas of the objects that the database is made of, as their own projects define them.

`python -m tests.database.crds MANIFEST...` writes crds.json from release manifests, without descriptions and status:
https://github.com/cloudnative-pg/cloudnative-pg/blob/v1.30.0/releases/cnpg-1.30.0.yaml and
https://github.com/cloudnative-pg/plugin-barman-cloud/blob/v0.14.0/manifest.yaml (both Apache-2.0).
"""

from __future__ import annotations

import json
import sys
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import yaml

Json = dict[str, Any]

FILE = Path(__file__).parent / "crds.json"
KINDS = ("Backup", "Cluster", "Database", "ImageCatalog", "ObjectStore", "Pooler", "ScheduledBackup")


@cache
def schemas() -> Json:
    found: Json = json.loads(FILE.read_text())
    return found


def problems(item: Json) -> list[str]:
    """Where an object isn't what its definition takes; a field that it doesn't know is one, as the server drops it."""
    schema = _closed(schemas()[item["kind"]])
    validator = jsonschema.Draft202012Validator(schema)
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(item)]


def definition_of(kind: str, api_version: str) -> Json:
    """The CustomResourceDefinition of a kind, as an API server takes it."""
    group, _, version = api_version.partition("/")
    plural = f"{kind.lower()}s"
    schema = json.loads(json.dumps(schemas()[kind]))
    schema["properties"] |= {
        "metadata": {"type": "object"},
        "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "names": {"kind": kind, "listKind": f"{kind}List", "plural": plural, "singular": kind.lower()},
            "scope": "Namespaced",
            "versions": [
                {
                    "name": version,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "schema": {"openAPIV3Schema": schema},
                }
            ],
        },
    }


def _closed(schema: Any) -> Any:
    """The schema that takes no unknown fields, and a number or text where Kubernetes says int-or-string."""
    if isinstance(schema, list):
        return [_closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: _closed(value) for key, value in schema.items() if not key.startswith("x-kubernetes-")}
    open_ended = "additionalProperties" in schema or schema.get("x-kubernetes-preserve-unknown-fields")
    if "properties" in schema and not open_ended:
        found["additionalProperties"] = False
    return found


def _without_descriptions(schema: Any) -> Any:
    if isinstance(schema, dict):
        return {
            key: _without_descriptions(value)
            for key, value in schema.items()
            if not (key == "description" and isinstance(value, str))
        }
    return [_without_descriptions(one) for one in schema] if isinstance(schema, list) else schema


def write(manifests: list[str], file: Path = FILE) -> None:
    """Write the schemas of these manifests' definitions."""
    found: Json = {}
    for manifest in manifests:
        for item in yaml.safe_load_all(Path(manifest).read_text()):
            if item and item["kind"] == "CustomResourceDefinition":
                kind = item["spec"]["names"]["kind"]
                if kind in KINDS:
                    (version,) = item["spec"]["versions"]
                    schema = _without_descriptions(version["schema"]["openAPIV3Schema"])
                    schema["properties"].pop("status", None)
                    # Its own type is `object`, as the metadata's schema is Kubernetes' own.
                    schema["properties"]["metadata"] = {"type": "object", "additionalProperties": True}
                    found[kind] = schema
    file.write_text(json.dumps(found, separators=(",", ":"), sort_keys=True) + "\n")


if __name__ == "__main__":
    write(sys.argv[1:])
