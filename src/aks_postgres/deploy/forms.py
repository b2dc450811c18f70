"""The run forms in the Prefect UI: what a person decides comes first, and what they can't change isn't a field.

Prefect draws a form from the parameter schema of a deployment, and marks every field that isn't required as
"(Optional)". So a form's schema requires all that it shows, and the deployment has a value for all of it but what has
to be typed. Where a run deletes, the deployment fixes the environment: the schema takes no other spec.
"""

from __future__ import annotations

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
        schema["properties"]["spec"] = _fixed(given["spec"])
        schema["properties"]["confirm"]["description"] = (
            f"Type {given['spec']['name']}-{given['spec']['region']}."
        )
        schema.pop("definitions")
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


def _fixed(spec: Json) -> Json:
    """The environment as it is: an object without known fields is drawn as JSON."""
    where = "in the worker's subscription (AZURE_SUBSCRIPTION_ID)"
    if "subscription_id" in spec:
        where = f"in subscription {spec['subscription_id']}"
    return {
        "title": "Environment",
        "description": f"{spec['name']} in {spec['region']}, {where}. What isn't named has its default. The deployment "
        "fixes it: to change it, change the regions file and apply that.",
        "type": "object",
        "const": spec,
        "readOnly": True,
    }


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
