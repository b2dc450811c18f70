"""Promises about the repository itself."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

REPOSITORY = Path(__file__).parents[2]
FLOW = re.compile(r"^@flow\b.*?^async def (\w+)", re.M | re.S)


def flows() -> dict[str, Path]:
    return {
        name: file
        for file in sorted((REPOSITORY / "flows").glob("*.py"))
        for name in FLOW.findall(file.read_text())
    }


def deployments() -> list[dict[str, object]]:
    found: list[dict[str, object]] = yaml.safe_load((REPOSITORY / "prefect.yaml").read_text())["deployments"]
    return found


@pytest.mark.parametrize("deployment", deployments(), ids=lambda one: str(one["name"]))
def test_a_deployment_s_entrypoint_loads_and_takes_its_parameters(
    deployment: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    from prefect.flows import load_flow_from_entrypoint

    monkeypatch.chdir(REPOSITORY)
    flow = load_flow_from_entrypoint(str(deployment["entrypoint"]))
    parameters = deployment["parameters"]
    assert isinstance(parameters, dict)
    # What a person has to type isn't in a deployment.
    assert "confirm" not in parameters
    typed = {"confirm": "typed"} if "confirm" in flow.parameters.required else {}
    assert flow.validate_parameters(parameters | typed)
    assert deployment["enforce_parameter_schema"] is True


def test_there_are_flows_and_the_reference_names_every_one() -> None:
    reference = (REPOSITORY / "docs" / "reference" / "flows.md").read_text()
    assert flows()
    assert [name for name in flows() if f"| `{name}` |" not in reference] == []


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_every_file_that_a_document_names_is_there(document: str) -> None:
    named = re.findall(
        r"`((?:src|packages|tasks|flows|tests|deployments)/[\w./-]*)`",
        (REPOSITORY / document).read_text(),
    )
    assert [path for path in named if not (REPOSITORY / path).exists()] == []


def test_an_entrypoint_is_a_module_s_as_the_same_file_loaded_by_its_path_is_a_second_module() -> None:
    named = [str(deployment["entrypoint"]) for deployment in deployments()]
    assert named
    assert [name for name in named if not re.fullmatch(r"aks_postgres\.flows\.(\w+)\.\1", name)] == []


def test_the_guide_map_holds_exactly_the_steps_that_exist() -> None:
    page = (REPOSITORY / "docs" / "explanation" / "guide.md").read_text()
    guide_map = page.partition("## Guide map")[2].partition("\n## ")[0]
    steps = {
        name
        for file in (REPOSITORY / "tasks").glob("[a-z]*.py")
        for name in re.findall(r"^@arm_task\b.*?^async def (\w+)", file.read_text(), re.M | re.S)
    }
    assert steps
    assert set(re.findall(r"`([a-z]+_[a-z_]+|preflight)`", guide_map)) == steps


def test_the_reference_s_exit_codes_are_the_command_s() -> None:
    from aks_postgres import exit_codes

    table = "\n".join(line for line in str(exit_codes.__doc__).splitlines() if line.startswith("| "))
    rows = [row for row in table.splitlines() if row[2].isdigit()]
    reference = (REPOSITORY / "docs" / "reference" / "commands.md").read_text()
    assert len(rows) == len(exit_codes.ExitCode)
    assert [row for row in rows if row not in reference] == []


def dependencies() -> Iterator[tuple[str, str]]:
    """Every dependency of both distributions: where it is asked for, and what is asked."""
    for file in ("pyproject.toml", "packages/azure-sandbox/pyproject.toml"):
        project = tomllib.loads((REPOSITORY / file).read_text())["project"]
        groups = {"": project["dependencies"], **project.get("optional-dependencies", {})}
        for group, wanted in groups.items():
            # An extra of its own, whose dependencies stand there.
            yield from ((f"{file} {group}", one) for one in wanted if not one.startswith(project["name"]))


def test_every_dependency_has_an_upper_bound() -> None:
    """A new major version comes by a change of ours, which is tested."""
    found = list(dependencies())
    assert len(found) > 50
    assert [one for one in found if not re.search(r"<\s*\d", one[1])] == []
