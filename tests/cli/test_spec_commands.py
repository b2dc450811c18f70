"""The commands about the spec: fields, init; and the version."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from aks_postgres.cli.main import app
from aks_postgres.cli.spec_options import spec_fields
from aks_postgres.cli.spec_text import spec_lines
from aks_postgres.errors import Finding
from aks_postgres.exit_codes import CommandFailed, ExitCode
from aks_postgres.preflight.errors import PreflightFailed, UnknownRegion
from aks_postgres.runs.failures import failure_of
from aks_postgres.spec.environment import EnvironmentSpec


def printed(*arguments: str) -> str:
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_a_word_finds_fields_by_name_and_by_meaning() -> None:
    found = [entry["field"] for entry in json.loads(printed("fields", "zone", "--json"))]
    assert {"system_pool.zones", "monitoring.grafana_zone_redundancy", "storage.sku"} <= set(found)
    assert "operator.version" not in found
    with pytest.raises(CommandFailed, match="'nosuch'") as refused:
        CliRunner().invoke(app, ["fields", "nosuch"], catch_exceptions=False)
    assert refused.value.code == ExitCode.BAD_INPUT


def test_fields_stand_under_their_group() -> None:
    assert re.findall(r"^# (\w+)$", printed("fields"), re.M)[:3] == ["environment", "network", "cluster"]


def test_the_spec_that_init_writes_is_the_default_with_every_field_in_it() -> None:
    lines = list(spec_lines("shop", "westeurope"))
    assert yaml.safe_load("\n".join(lines)) == {"name": "shop", "region": "westeurope"}
    whole = yaml.safe_load("\n".join(line.removeprefix("# ") for line in lines))
    default = {"name": "shop", "region": "westeurope"}
    with_database = EnvironmentSpec.model_validate(
        {**default, "database": {"pooler": {}}}
    )  # their fields make one
    assert EnvironmentSpec.model_validate(whole) == with_database
    assert {field.path for field in spec_fields()} <= set(paths_of(whole))


def paths_of(mapping: dict[str, Any], above: str = "") -> Iterator[str]:
    for name, value in mapping.items():
        yield f"{above}{name}"
        if isinstance(value, dict):
            yield from paths_of(value, f"{above}{name}.")


def test_init_leaves_a_file_that_is_there(tmp_path: Path) -> None:
    file = tmp_path / "environment.yaml"
    assert "aks-postgres plan --spec" in printed("init", str(file))
    before = file.read_text()
    with pytest.raises(CommandFailed, match="is there already"):
        CliRunner().invoke(app, ["init", str(file)], catch_exceptions=False)
    assert file.read_text() == before


def test_the_version_is_a_command_too() -> None:
    assert re.fullmatch(r"aks-postgres \S+\n", printed("version"))
    assert printed("version") == printed("--version")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UnknownRegion([Finding("region: none", "Choose another.")]), ExitCode.BAD_INPUT),
        (PreflightFailed([Finding("quota", "Ask for more.")]), ExitCode.FAILED),
    ],
)
def test_a_region_that_isn_t_there_is_bad_input(error: Exception, code: ExitCode) -> None:
    found = failure_of(error)
    assert found is not None
    assert found.code == code
