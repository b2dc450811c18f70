"""`prefect.yaml`, made of the regions file: for each region a deployment of every flow, and one of the fleet."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import yaml

from aks_postgres.deploy.regions import Region
from aks_postgres.spec.names import PRODUCT, environment_key

WORK_POOL = "aks-postgres"
FLEET = "fleet"

# Prefect's least, against 180: a run that died is noticed after three of these (automations.py).
HEARTBEAT_S = 30

_HEADER = """\
# Made of deployments/regions.yaml by `python -m aks_postgres.deploy`; change that file and run it again.
# What runs where, as `prefect --no-prompt deploy --all` registers it from this folder: docs/deployments.md.
"""

# What each flow does to a region's environment, as the Prefect UI shows it.
_DESCRIPTIONS = {
    "provision": "Makes {key}; run again, it changes only what differs.",
    "plan": "What a run of provision would create and change in {key}; it writes nothing.",
    "tear_down": "Takes {key} away, with a receipt; backups stay. Whoever starts it types {key} in confirm.",
    "rebuild": "Makes {key} anew; backups stay. Whoever starts it types {key} in confirm.",
}


def render(regions: list[Region]) -> str:
    """The text of prefect.yaml."""
    deployments = [
        _deployment(flow, region, _schedules(flow, region)) for region in regions for flow in _DESCRIPTIONS
    ]
    document = {"name": PRODUCT, "deployments": [*deployments, _fleet(regions)]}
    return _HEADER + yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)


def _deployment(flow: str, region: Region, schedules: list[dict[str, Any]]) -> dict[str, Any]:
    spec = region.spec.model_dump(mode="json", exclude_unset=True)
    return {
        "name": region.name,
        "description": _DESCRIPTIONS[flow].format(key=environment_key(region.spec)),
        **_of_flow(flow),
        "tags": _tags(region.name, region.spec.name, *region.tags),
        "parameters": {"spec": spec},
        **({"schedules": schedules} if schedules else {}),
        "work_pool": _work_pool(),
    }


def _schedules(flow: str, region: Region) -> list[dict[str, Any]]:
    if flow == "plan":
        drift = region.drift
        return [_schedule("drift", drift.cron, drift.timezone, drift.active)]
    if flow == "rebuild":
        rebuild = region.rebuild
        # Never without parameters: Prefect would keep those of last time, the typed word among them.
        typed = {"parameters": rebuild.parameters}
        return [_schedule("rebuild", rebuild.cron, rebuild.timezone, rebuild.is_on) | typed]
    return []


def _schedule(slug: str, cron: str, timezone: str, active: bool) -> dict[str, Any]:
    return {"slug": slug, "cron": cron, "timezone": timezone, "active": active}


def _fleet(regions: list[Region]) -> dict[str, Any]:
    """One spec for all its regions, so only those that have the first one's: a fleet must not undo what differs."""
    spec = _without_region(regions[0])
    members = [region.name for region in regions if _without_region(region) == spec]
    others = [region.name for region in regions if region.name not in members]
    left_out = f" Not here, as their specs differ: {', '.join(others)}." if others else ""
    return {
        "name": FLEET,
        "description": f"{regions[0].spec.name} in many regions, each a run of provision/<region>.{left_out}",
        **_of_flow("provision_fleet"),
        "tags": _tags(FLEET, regions[0].spec.name),
        "parameters": {"spec": spec, "regions": members, "runs": "deployments"},
        "work_pool": _work_pool(),
    }


def _without_region(region: Region) -> dict[str, Any]:
    return region.spec.model_dump(mode="json", exclude_unset=True, exclude={"region"})


def _of_flow(flow: str) -> dict[str, Any]:
    return {"entrypoint": f"aks_postgres.flows.{flow}.{flow}", "enforce_parameter_schema": True}


def _tags(*tags: str) -> list[str]:
    return list(dict.fromkeys([PRODUCT, *tags]))


def _work_pool() -> dict[str, Any]:
    return {
        "name": WORK_POOL,
        "job_variables": {"env": {"PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(HEARTBEAT_S)}},
    }


def deployment_names(document: dict[str, Any]) -> Iterator[str]:
    """The deployments of a prefect.yaml, as Prefect calls them: provision-fleet/fleet."""
    for deployment in document["deployments"]:
        flow = deployment["entrypoint"].rpartition(".")[2].replace("_", "-")
        yield f"{flow}/{deployment['name']}"


class _Dumper(yaml.SafeDumper):
    """A list on one line when it holds only words, and items set in from their key."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _list(dumper: yaml.SafeDumper, items: Iterable[Any]) -> yaml.Node:
    listed = list(items)
    return dumper.represent_sequence(
        "tag:yaml.org,2002:seq", listed, flow_style=all(isinstance(item, str) for item in listed)
    )


_Dumper.add_representer(list, _list)
