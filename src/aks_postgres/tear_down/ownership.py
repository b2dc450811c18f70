"""Which resources are this environment's: our tags *and* an ID that we compute. Everything else stays."""

from __future__ import annotations

from collections.abc import Sequence

from aks_postgres.arm.errors import NotOurs
from aks_postgres.arm.responses import Json
from aks_postgres.errors import Finding
from aks_postgres.reports.outputs import Target
from aks_postgres.resources import rule_group
from aks_postgres.resources.kinds import owned_ids
from aks_postgres.spec.environment import EnvironmentSpec
from aks_postgres.spec.names import ENVIRONMENT, MANAGED_BY, PRODUCT, environment_key, is_ours

WAY_OUT = "Move it elsewhere or delete it, then run again."


def foreign(spec: EnvironmentSpec, target: Target, contents: Sequence[Json]) -> list[Finding]:
    """Return what stands against deleting a generation's resource group with these resources in it."""
    mine = owned_ids(spec, target)
    problems = []
    for resource in contents:
        is_rule_group = str(resource["type"]).casefold() == rule_group.KIND.type.casefold() and (
            target.names.is_rule_group(str(resource["name"]))
        )
        is_known = str(resource["id"]).casefold() in mine or is_rule_group
        if is_known and is_ours(resource.get("tags"), spec):
            continue
        problems.append(
            untagged(spec, described(resource))
            if is_known
            else Finding(
                f"{described(resource)} isn't part of this environment, and deleting its resource group would take it "
                "along.",
                WAY_OUT,
            )
        )
    return problems


def foreign_backups(spec: EnvironmentSpec, account_id: str, contents: Sequence[Json]) -> list[Finding]:
    """Return what stands against deleting the backup group with these resources in it."""
    problems = []
    for resource in contents:
        if str(resource["id"]).casefold() != account_id.casefold():
            problems.append(
                Finding(
                    f"{described(resource)} isn't part of this environment, and deleting the backups would take its "
                    "resource group.",
                    WAY_OUT,
                )
            )
        elif not is_ours(resource.get("tags"), spec):
            problems.append(untagged(spec, described(resource)))
    return problems


def described(resource: Json) -> str:
    """Type, name and group of a resource as ARM lists it."""
    parts = str(resource["id"]).split("/")
    return f"{resource['type']} {resource['name']} in {parts[4]}"


def untagged(spec: EnvironmentSpec, what: str) -> Finding:
    """Return what is said of something that has our name and not our tags."""
    return Finding(
        f"{what} has this environment's name but not its tags ({MANAGED_BY}: {PRODUCT}, {ENVIRONMENT}: "
        f"{environment_key(spec)}), so it isn't ours to delete.",
        "If it is, give it these tags; otherwise move it elsewhere or delete it. Then run again.",
    )


def not_ours(spec: EnvironmentSpec, what: str) -> NotOurs:
    """The refusal to delete something that has our name and not our tags."""
    found = untagged(spec, what)
    return NotOurs(found.text, way_out=found.way_out)
