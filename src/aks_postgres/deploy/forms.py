"""The run forms in the Prefect UI: what a person decides comes first, and what they can't change isn't a field.

Prefect draws a form from the parameter schema of a deployment, and marks every field that isn't required as
"(Optional)". So a form's schema requires all that it shows, and the deployment has a value for all of it but what has
to be typed. Where a run deletes, the deployment fixes the environment: the schema takes no other spec, and the form
tells of it in words. As a field it would be drawn with one line for each of its own, and the form has an end.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib import import_module
from typing import Any

from aks_postgres.deploy.work_pools import IDENTITY_OF
from aks_postgres.spec.environment import EnvironmentSpec
from aks_postgres.spec.titles import title_of

Json = dict[str, Any]

# With three availability zones, as the default spec wants them: https://learn.microsoft.com/azure/reliability/regions-list
# (September 2025). Regions of the regions file are added, whatever they are.
REGIONS = (
    "australiaeast",
    "austriaeast",
    "belgiumcentral",
    "brazilsouth",
    "canadacentral",
    "centralindia",
    "centralus",
    "chilecentral",
    "eastasia",
    "eastus",
    "eastus2",
    "francecentral",
    "germanywestcentral",
    "indonesiacentral",
    "israelcentral",
    "italynorth",
    "japaneast",
    "japanwest",
    "koreacentral",
    "malaysiawest",
    "mexicocentral",
    "newzealandnorth",
    "northeurope",
    "norwayeast",
    "polandcentral",
    "qatarcentral",
    "southafricanorth",
    "southcentralus",
    "southeastasia",
    "spaincentral",
    "swedencentral",
    "switzerlandnorth",
    "uaenorth",
    "uksouth",
    "westeurope",
    "westus2",
    "westus3",
)
# What a person must decide.
_FIRST = ("confirm", "strategy", "approval", "regions", "spec")
# Of the command line, and what the deployment decides.
_HIDDEN = ("approved_plan", "runs")
# Of an environment in words: a form is at most 1,600 px high, and seven such fields take five lines of 20.
_MOST_FIELDS = 12
_LONGEST = 40
_TITLES = {
    "spec": "Environment",
    "approval_hours": "Hours to wait for approval",
    "backup_age_min": "Age of the newest backup, in minutes",
}


def with_forms(document: Json) -> Json:
    """Return what prefect.yaml has, each deployment with its `form` and a value for all that this requires.

    Args:
        document: as `rendering.document` makes it.
    """
    deployments = document["deployments"]
    own = {region for deployment in deployments for region in _regions_of(deployment["parameters"])}
    regions = sorted({*REGIONS, *own})
    return {
        **document,
        "deployments": [{**deployment, **_form(deployment, regions)} for deployment in deployments],
    }


def _regions_of(parameters: Json) -> Iterator[str]:
    yield from parameters.get("regions", [])
    if region := parameters["spec"].get("region"):
        yield region


def _form(deployment: Json, regions: list[str]) -> Json:
    schema = _parameter_schema(deployment["entrypoint"])
    flow = deployment["entrypoint"].rpartition(".")[2]
    given: Json = deployment["parameters"]
    if IDENTITY_OF[flow] == "delete":
        del schema["properties"]["spec"], schema["definitions"]
        # Outside `properties`, of which the form is drawn.
        schema["allOf"] = [{"properties": {"spec": {"const": given["spec"]}}}]
        schema["properties"]["confirm"]["description"] = _told(given["spec"])
    else:
        spec = EnvironmentSpec.model_validate(given["spec"]).model_dump(mode="json")
        _free(schema, regions, has_region=flow != "provision_fleet")
        if flow == "provision_fleet":
            del spec["region"]
        given = {**given, "spec": spec}
    _order(schema)
    defaults = {
        name: field_schema["default"]
        for name, field_schema in schema["properties"].items()
        if "default" in field_schema
    }
    return {"parameters": {**defaults, **given}, "form": schema}


def _parameter_schema(entrypoint: str) -> Json:
    from prefect.utilities.callables import parameter_schema

    module, _, name = entrypoint.rpartition(".")
    schema: Json = parameter_schema(getattr(import_module(module), name)).model_dump_for_openapi()
    for field, field_schema in schema["properties"].items():
        field_schema["title"] = _TITLES.get(field, title_of(field))
        field_schema["description"] = _sentence(field_schema.get("description", ""))
    return schema


def _sentence(text: str) -> str:
    """A docstring's words as a sentence; the name of a value, which some begin with, stays as it is."""
    return text if "_" in text.partition(" ")[0] else text[:1].upper() + text[1:]


def _told(spec: Json) -> str:
    """What to type, and which environment it is, whole up to some lines of text."""
    where = "in the worker's subscription (AZURE_SUBSCRIPTION_ID)"
    if "subscription_id" in spec:
        where = f"in subscription {spec['subscription_id']}"
    rest = {name: value for name, value in spec.items() if name not in ("name", "region", "subscription_id")}
    fields = [f"{path}: {value}" for path, value in _flat(rest)]
    if more := fields[_MOST_FIELDS:]:
        fields[_MOST_FIELDS:] = [f"and {len(more)} more, under Parameters on the deployment's page"]
    return (
        f"Type {spec['name']}-{spec['region']}. The deployment fixes the environment: to change it, change the regions "
        f"file and apply that. It is {spec['name']} in {spec['region']}, {where}, with all defaults"
        f"{' but ' if fields else ''}{', '.join(fields)}."
    )


def _flat(part: Json, above: str = "") -> Iterator[tuple[str, str]]:
    """Every value by the path of its field."""
    for name, value in part.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{above}{name}.")
        else:
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            # One sign: three dots and the sentence's own would be four.
            yield f"{above}{name}", text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}\u2026"


def _free(schema: Json, regions: list[str], *, has_region: bool) -> None:
    """Every field of the spec, and the region from a list."""
    fields = schema["definitions"]["EnvironmentSpec"]["properties"]
    if has_region:
        fields["region"] = {**fields["region"], "enum": regions}
    else:
        del fields["region"]
        schema["properties"]["regions"]["items"]["enum"] = regions
    schema["properties"]["spec"]["description"] = "Other fields than these are as the regions file has them."
    for definition in schema["definitions"].values():
        _require_all(definition)


def _order(schema: Json) -> None:
    properties = {
        name: field_schema for name, field_schema in schema["properties"].items() if name not in _HIDDEN
    }
    first = [name for name in _FIRST if name in properties]
    for position, name in enumerate([*first, *(name for name in properties if name not in first)]):
        properties[name]["position"] = position
    schema["properties"] = properties
    _require_all(schema)


def _require_all(schema: Json) -> None:
    schema["required"] = list(schema["properties"])
    for field in schema["properties"].values():
        if field.get("type") == "array":
            # The form leaves out a required list with fewer items than this; unsaid, than one.
            field.setdefault("minItems", 0)
        for choice in field.get("anyOf", []):
            choice["title"] = "Unset" if choice.get("type") == "null" else "Set"
