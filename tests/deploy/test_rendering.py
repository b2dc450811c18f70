"""prefect.yaml is what the regions file says."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect import Flow
from prefect.flows import load_flow_from_entrypoint
from typer.testing import CliRunner

from aks_postgres.cli.deployments import app
from aks_postgres.deploy.regions import RebuildSchedule, Region, read_regions
from aks_postgres.deploy.rendering import by_name, document, text_of
from aks_postgres.exit_codes import CommandFailed
from aks_postgres.spec.problems import SpecError

from ..repository.test_repository import flows

REPOSITORY = Path(__file__).parents[2]
REGIONS = REPOSITORY / "deployments" / "regions.yaml"


def rendered(folder: Path, regions: str) -> list[dict[str, Any]]:
    file = folder / "regions.yaml"
    file.write_text(regions)
    found: list[dict[str, Any]] = yaml.safe_load(text_of(document(read_regions(file))))["deployments"]
    return found


def named(deployments: list[dict[str, Any]], flow: str) -> dict[str, Any]:
    (found,) = [one for one in deployments if one["entrypoint"].endswith(f".{flow}")]
    return found


def test_prefect_yaml_is_what_the_regions_file_says() -> None:
    """`aks-postgres deployments render` writes it."""
    assert (REPOSITORY / "prefect.yaml").read_text() == text_of(document(read_regions(REGIONS)))


def test_every_region_has_a_deployment_of_every_flow_and_all_have_one_fleet() -> None:
    every = {name.replace("_", "-") for name in flows()} - {"provision-fleet"}
    regions = read_regions(REGIONS)
    wanted = {f"{flow}/{region.name}" for flow in every for region in regions} | {"provision-fleet/fleet"}
    wanted -= {f"deploy-database/{region.name}" for region in regions if region.spec.database is None}
    document = yaml.safe_load((REPOSITORY / "prefect.yaml").read_text())
    assert set(by_name(document["deployments"])) == wanted
    assert len(document["deployments"]) == len(wanted)


def test_a_new_region_is_a_new_entry(tmp_path: Path) -> None:
    before = rendered(tmp_path, "- spec: {name: cnpg, region: westus3}")
    entry = "- {spec: {name: cnpg, region: uksouth}, tags: [team:data]}"
    after = rendered(tmp_path, f"- spec: {{name: cnpg, region: westus3}}\n{entry}")
    new = [one for one in after if one["name"] == "uksouth"]
    assert len(new) == len([one for one in before if one["name"] == "westus3"])
    assert all(one["tags"] == ["aks-postgres", "uksouth", "cnpg", "team:data"] for one in new)
    assert named(after, "provision_fleet")["parameters"]["regions"] == ["westus3", "uksouth"]


def test_a_fleet_leaves_regions_alone_whose_specs_differ(tmp_path: Path) -> None:
    bigger = "- spec: {name: cnpg, region: uksouth, postgres_pool: {max_count: 9}}"
    fleet = named(rendered(tmp_path, f"- spec: {{name: cnpg, region: westus3}}\n{bigger}"), "provision_fleet")
    assert fleet["parameters"] == {"spec": {"name": "cnpg"}, "regions": ["westus3"], "runs": "deployments"}
    assert "Not here, as their specs differ: uksouth." in fleet["description"]


def test_only_a_schedule_that_carries_the_word_is_on_and_nothing_else_carries_it(tmp_path: Path) -> None:
    rebuild = 'cron: "0 3 * * 0", timezone: America/Toronto, confirm: cnpg-westus3, strategy: replace, approval: true'
    typed = rendered(tmp_path, f"- {{spec: {{name: cnpg, region: westus3}}, rebuild: {{{rebuild}}}}}")
    (schedule,) = named(typed, "rebuild")["schedules"]
    assert schedule == {
        "slug": "rebuild",
        "cron": "0 3 * * 0",
        "timezone": "America/Toronto",
        "active": True,
        "parameters": {"confirm": "cnpg-westus3", "strategy": "replace", "approval": True},
    }
    assert all("confirm" not in one["parameters"] for one in typed)
    untyped = rendered(tmp_path, "- spec: {name: cnpg, region: westus3}")
    (schedule,) = named(untyped, "rebuild")["schedules"]
    assert (schedule["active"], schedule["parameters"]) == (False, {"strategy": "blue_green"})


def test_a_schedule_takes_what_the_flow_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)
    flow: Flow[..., Any] = load_flow_from_entrypoint("aks_postgres.flows.rebuild.rebuild")

    def limits(schema: dict[str, Any]) -> dict[str, Any]:
        inner: list[dict[str, Any]] = schema.get("anyOf", [schema])
        told = ("type", "enum", "minimum", "maximum")
        return {key: value for one in inner for key, value in one.items() if key in told and value != "null"}

    takes = RebuildSchedule.model_json_schema()["properties"]
    carried = [name for name in takes if name not in ("cron", "timezone", "active")]
    theirs = flow.parameters.properties
    assert {name: limits(takes[name]) for name in carried} == {name: limits(theirs[name]) for name in carried}
    # What isn't said isn't passed, so that the flow's own defaults count; the strategy always is.
    unsaid = RebuildSchedule(cron="0 3 * * 0", timezone="UTC").parameters
    assert unsaid == {"strategy": theirs["strategy"]["default"]}


def test_a_stale_file_is_named_with_the_command_and_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "deployments").mkdir()
    shutil.copy(REGIONS, tmp_path / "deployments")
    (tmp_path / "prefect.yaml").write_text("name: aks-postgres\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CommandFailed, match=r"prefect\.yaml is stale: run `aks-postgres deployments render`"):
        app(["render", "--check"], standalone_mode=False)
    assert "+deployments:" in capsys.readouterr().out
    assert (tmp_path / "prefect.yaml").read_text() == "name: aks-postgres\n"
    for arguments in ([], ["--check"]):
        assert CliRunner().invoke(app, ["render", *arguments]).exit_code == 0
    assert (tmp_path / "prefect.yaml").read_text() == text_of(document(read_regions(REGIONS)))


def test_a_bad_entry_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "deployments").mkdir()
    (tmp_path / "deployments" / "regions.yaml").write_text("- spec: {name: '?', region: westus3}")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SpecError, match=r'entry 1 \(westus3\), spec.name: "\?" was given'):
        app(["render"], standalone_mode=False)
    assert not (tmp_path / "prefect.yaml").exists()


def test_a_region_with_a_database_has_a_deployment_that_makes_it() -> None:
    with_one = Region.model_validate({"spec": {"name": "cnpg", "region": "canadacentral", "database": {}}})
    without = Region.model_validate({"spec": {"name": "cnpg", "region": "northeurope"}})
    names = set(by_name(document([with_one, without])["deployments"]))
    assert {name for name in names if name.startswith("deploy-database/")} == {
        "deploy-database/canadacentral"
    }
