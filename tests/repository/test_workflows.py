"""The workflow for a real operator on kind, which has never run here: its form, and the files that it names."""

import re
from pathlib import Path

import jsonschema
import yaml
from check_jsonschema.builtin_schemas import get_builtin_schema

REPOSITORY = Path(__file__).parents[2]
WORKFLOW = REPOSITORY / ".github" / "workflows" / "operator-on-kind.yml"
KIND = REPOSITORY / "deployments" / "kind"


def test_it_says_that_it_has_never_run_and_runs_only_when_asked_or_once_a_week() -> None:
    text = WORKFLOW.read_text()
    assert "Never run here" in text
    # YAML 1.1 reads the key as true.
    assert set(yaml.safe_load(text)[True]) == {"workflow_dispatch", "schedule"}


def test_it_has_the_form_that_github_takes() -> None:
    found = {
        "on" if key is True else key: value for key, value in yaml.safe_load(WORKFLOW.read_text()).items()
    }
    jsonschema.validate(found, get_builtin_schema("vendor.github-workflows"))


def test_every_file_that_it_names_is_there_and_is_used() -> None:
    named = set(re.findall(r"deployments/kind/([\w.-]+)", WORKFLOW.read_text()))
    assert named == {file.name for file in KIND.iterdir()}
    for file in KIND.iterdir():
        assert all(one["kind"] for one in yaml.safe_load_all(file.read_text())), file


def test_the_database_uses_names_that_the_emulator_has() -> None:
    texts = [file.read_text() for file in KIND.iterdir()] + [WORKFLOW.read_text()]
    secrets = set(re.findall(r"name: (\w+), key: (AZUR\w+)", "\n".join(texts)))
    assert secrets == {("azurite", "AZURITE_ACCOUNTS"), ("azurite", "AZURE_CONNECTION_STRING")}
    assert all(f"--from-literal={key}=" in WORKFLOW.read_text() for _, key in secrets)
