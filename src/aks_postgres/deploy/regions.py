"""The regions file: which environments there are, and when something is done to them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from aks_postgres.spec.environment import EnvironmentSpec
from aks_postgres.spec.names import environment_key
from aks_postgres.spec.problems import SpecError, SpecProblem, problems_of, shown
from aks_postgres.yaml_files import read_yaml


def _cron(line: str) -> str:
    # Imported here, as in the next: a file that can't be read is refused without Prefect's second.
    from prefect.client.schemas.schedules import CronSchedule

    try:
        CronSchedule(cron=line)
    except ValidationError:
        raise ValueError("minute, hour, day, month and weekday are expected, such as 0 3 * * 0") from None
    return line


def _timezone(name: str) -> str:
    from prefect.client.schemas.schedules import is_valid_timezone

    if not is_valid_timezone(name):
        raise ValueError("the IANA name of a time zone is expected, such as America/Toronto")
    return name


Cron = Annotated[str, AfterValidator(_cron)]
Timezone = Annotated[str, AfterValidator(_timezone)]
Tag = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9_.:-]{1,50}$", description="Letters, digits, '.', ':', '-' and '_'.")
]


class Entry(BaseModel):
    """Refuses fields it doesn't know."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class DriftSchedule(Entry):
    """When `plan` looks for drift."""

    cron: Cron
    timezone: Timezone
    active: bool = True


class RebuildSchedule(Entry):
    """When `rebuild` runs, and with which of its parameters; those left out have the flow's own defaults.

    Data without a backup is never discarded on a schedule, so `discard_data` isn't among them.
    """

    cron: Cron
    timezone: Timezone
    active: bool | None = None
    confirm: str | None = None
    strategy: Literal["blue_green", "replace"] = "blue_green"
    approval: bool | None = None
    approval_hours: Annotated[int, Field(ge=1, le=168)] | None = None
    if_it_fails: Literal["remove", "keep"] | None = None
    backup_age_min: Annotated[int, Field(ge=1, le=10080)] | None = None

    @property
    def is_on(self) -> bool:
        """Whether it fires: never without the word typed."""
        return self.confirm is not None and self.active is not False

    @property
    def parameters(self) -> dict[str, Any]:
        """What it passes to the flow beside the deployment's own parameters."""
        return self.model_dump(exclude={"cron", "timezone", "active"}, exclude_none=True)


class Region(Entry):
    """One region's environment.

    Its schedules always exist, off where the file has none: Prefect keeps what a later prefect.yaml leaves out.
    """

    spec: EnvironmentSpec
    tags: list[Tag] = []
    drift: DriftSchedule = Field(
        default_factory=lambda: DriftSchedule(cron="0 6 * * *", timezone="UTC", active=False)
    )
    rebuild: RebuildSchedule = Field(
        default_factory=lambda: RebuildSchedule(cron="0 3 * * 0", timezone="UTC")
    )

    @property
    def name(self) -> str:
        """What its deployments are called."""
        return self.spec.region


def read_regions(file: Path) -> list[Region]:
    """Read the regions file.

    Raises:
        SpecError: an entry can't be used; every problem at once, each with its entry, field, what was given and what
            is allowed.
        CommandFailed: there is no such file, or it is no YAML.
    """
    given = read_yaml(file, field="--regions")
    if not isinstance(given, list) or not given:
        problem = SpecProblem(field="regions", given=shown(given), allowed="a list of entries is expected")
        raise SpecError([problem], str(file))
    problems: list[SpecProblem] = []
    regions: list[Region] = []
    for number, entry in enumerate(given, 1):
        found = _region(entry)
        if isinstance(found, Region):
            regions.append(found)
            found = list(_problems(found, regions[:-1]))
        label = f"entry {number}{_region_name(entry)}"
        problems += [problem.model_copy(update={"field": f"{label}, {problem.field}"}) for problem in found]
    if problems:
        raise SpecError(problems, str(file))
    return regions


def _region(entry: Any) -> Region | list[SpecProblem]:
    if not isinstance(entry, dict):
        fields = ", ".join(Region.model_fields)
        return [
            SpecProblem(
                field="entry", given=shown(entry), allowed=f"a mapping of these fields is expected: {fields}"
            )
        ]
    try:
        return Region.model_validate(entry)
    except ValidationError as error:
        return problems_of(error, entry, Region)


def _region_name(entry: Any) -> str:
    """The region that an entry is about, where it says so: an entry is found by it, not by its number."""
    spec = entry.get("spec") if isinstance(entry, dict) else None
    name = spec.get("region") if isinstance(spec, dict) else None
    return f" ({shown(name).strip(chr(34))})" if isinstance(name, str) else ""


def _problems(region: Region, earlier: list[Region]) -> Iterator[SpecProblem]:
    key = environment_key(region.spec)
    for field in ("name", "region"):
        if field not in region.spec.model_fields_set:
            yield SpecProblem(field=f"spec.{field}", given="nothing", allowed="it is needed here")
    if region.spec.region in [other.spec.region for other in earlier]:
        allowed = "each region once: its deployments are called by it"
        yield SpecProblem(field="spec.region", given=shown(region.spec.region), allowed=allowed)
    rebuild = region.rebuild
    if rebuild.confirm not in (None, key):
        allowed = f"a scheduled rebuild needs the environment's name and region, {key}"
        yield SpecProblem(field="rebuild.confirm", given=shown(rebuild.confirm), allowed=allowed)
    if rebuild.active and rebuild.confirm is None:
        allowed = f"a rebuild runs on a schedule only with confirm: {key}"
        yield SpecProblem(field="rebuild.active", given="true", allowed=allowed)
    if rebuild.is_on and region.spec.database is not None:
        allowed = "leave it out: a rebuild carries no data of a database yet, so each run would be refused"
        yield SpecProblem(field="rebuild.confirm", given=shown(rebuild.confirm), allowed=allowed)
    if "{{" in json.dumps(region.model_dump(mode="json")):
        # `prefect deploy` would put blocks, variables and environment variables there, secrets among them.
        yield SpecProblem(
            field="spec", given="{{", allowed="Prefect fills in what stands in double braces; none here"
        )
