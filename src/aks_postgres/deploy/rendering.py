"""`prefect.yaml`, made of the regions file: for each region a deployment of every flow, and one of the fleet."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import yaml

from aks_postgres.deploy.regions import Region
from aks_postgres.deploy.work_pools import IDENTITY_OF, POOLS, WORK_POOL
from aks_postgres.spec.names import PRODUCT, environment_key

FLEET = "fleet"

# Prefect's least, against 180: a run that died is noticed after three of these (automations.py). The image, the job
# templates and `aks-postgres deployments worker` set it; job variables, which others could change, don't.
HEARTBEAT_S = 30

_HEADER = """\
# Made of the regions file by `aks-postgres deployments render`; change that file and run it again.
# What runs where, as `prefect --no-prompt deploy --all` registers it from this folder: docs/deployments.md.
"""

# What each flow does to a region's environment, as the Prefect UI shows it.
_DESCRIPTIONS = {
    "provision": "Makes {key}; run again, it changes only what differs.",
    "plan": "What a run of provision would create and change in {key}; it writes nothing.",
    "tear_down": "Takes {key} away, with a receipt; backups stay. Whoever starts it types {key} in confirm.",
    "rebuild": "Makes {key} anew; backups stay. Whoever starts it types {key} in confirm.",
    "deploy_database": "Makes the database of {key}, or brings it to the spec; provision does so at its end.",
}


def document(regions: list[Region], *, one_pool: bool = False) -> dict[str, Any]:
    """Return what prefect.yaml has.

    Args:
        regions: what the regions file has.
        one_pool: every run in one work pool, and so with one identity, instead of three.
    """
    deployments = [
        _deployment(flow, region, _schedules(flow, region))
        for region in regions
        for flow in _DESCRIPTIONS
        if flow != "deploy_database" or region.spec.database is not None
    ]
    # Nothing to pull: the flows are modules of a package that is installed wherever a worker runs.
    found: dict[str, Any] = {"name": PRODUCT, "pull": [], "deployments": [*deployments, _fleet(regions)]}
    if one_pool:
        for deployment in found["deployments"]:
            deployment["work_pool"] = {"name": WORK_POOL}
    return found


def text_of(document: dict[str, Any]) -> str:
    """The text of prefect.yaml."""
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
        "work_pool": _work_pool(flow),
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
        "work_pool": _work_pool("provision_fleet"),
    }


def _without_region(region: Region) -> dict[str, Any]:
    return region.spec.model_dump(mode="json", exclude_unset=True, exclude={"region"})


def _of_flow(flow: str) -> dict[str, Any]:
    return {"entrypoint": f"aks_postgres.flows.{flow}.{flow}", "enforce_parameter_schema": True}


def _tags(*tags: str) -> list[str]:
    return list(dict.fromkeys([PRODUCT, *tags]))


def _work_pool(flow: str) -> dict[str, Any]:
    return {"name": POOLS[IDENTITY_OF[flow]]}


def by_name(deployments: Iterable[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The deployments of a prefect.yaml, by what Prefect calls them: provision-fleet/fleet."""
    return {name_of(deployment): deployment for deployment in deployments}


def name_of(deployment: dict[str, Any]) -> str:
    """Return what Prefect calls a deployment of a prefect.yaml: provision-fleet/fleet."""
    flow = deployment["entrypoint"].rpartition(".")[2].replace("_", "-")
    return f"{flow}/{deployment['name']}"


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
