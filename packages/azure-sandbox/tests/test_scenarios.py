"""The catalogue of scenarios: each is whole, has its test, and can be put in force and taken back."""

import ast
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from azure_sandbox.client import SandboxProcess
from azure_sandbox.core.faults import KINDS
from azure_sandbox.core.scenarios import catalogue, document, find, parse, read
from azure_sandbox.server.instance import Sandbox

from .conftest import REPOSITORY

TESTS = Path(__file__).parent / "scenarios"
NAMES = sorted(catalogue())


def scenario_tests() -> dict[str, str]:
    """Names of the tests in `scenarios/` to their text."""
    found = {}
    for file in sorted(TESTS.glob("test_*.py")):
        text = file.read_text()
        for node in ast.parse(text).body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                found[node.name] = ast.get_source_segment(text, node) or ""
    return found


def test_at_least_24_scenarios_ship() -> None:
    assert len(NAMES) >= 24


def test_the_document_of_scenarios_is_current() -> None:
    written = (REPOSITORY / "docs" / "sandbox-scenarios.md").read_text()
    assert written == document(), (
        "python -m azure_sandbox.core.scenarios --markdown > docs/sandbox-scenarios.md"
    )


@pytest.mark.parametrize("name", NAMES)
def test_each_scenario_says_what_it_does_who_saw_it_and_what_a_good_client_does(name: str) -> None:
    scenario = catalogue()[name]
    assert scenario.title
    assert re.match(r"https://(learn\.microsoft\.com|github\.com|kubernetes\.io)/\S+$", scenario.source)
    assert scenario.reaction.endswith(".")
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name)


def test_each_scenario_is_shown_to_a_plain_client_by_the_test_of_its_name() -> None:
    tests = scenario_tests()
    assert [
        name for name in NAMES if f'order("{name}")' not in tests.get(f"test_{name.replace('-', '_')}", "")
    ] == []


def test_every_kind_of_fault_is_in_the_catalogue() -> None:
    used = {kind for scenario in catalogue().values() for order in scenario.orders for kind in order["do"]}
    assert set(KINDS) <= used


def test_each_scenario_can_be_ordered_and_taken_back(sandbox: SandboxProcess) -> None:
    before = sandbox.control("GET", "settings")
    for name in NAMES:
        answer = sandbox.control("POST", "scenarios", {"name": name})
        assert answer["name"] == name
        assert bool(answer["faults"]) or bool(answer["settings"])
        assert sandbox.control("GET", "faults")["scenarios"] == [name]
        sandbox.control("DELETE", "faults")
        after = sandbox.control("GET", "faults")
        assert (after["faults"], after["scenarios"]) == ([], [])
        assert sandbox.control("GET", "settings") == before


def test_two_scenarios_hold_at_once_and_what_was_set_since_then_stays(sandbox: SandboxProcess) -> None:
    before = sandbox.control("GET", "settings")["durations"]
    for name in ("grafana-slow", "log-tables-not-ready", "quota-exceeded"):
        sandbox.control("POST", "scenarios", {"name": name})
    both = {"grafana_create": 1800, "log_workspace_tables_ready": 120}
    assert sandbox.control("GET", "settings")["durations"] == both
    sandbox.settings(quota={"cores": 10})
    sandbox.control("DELETE", "faults")
    after = sandbox.control("GET", "settings")
    assert (after["durations"], after["quota"]) == (before, {"*": 8, "cores": 10})


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ({}, "holds `orders`, `settings` or both"),
        ("text", "holds `orders`, `settings` or both"),
        ({"orders": [{"do": {"status": 500}}]}, "must say which requests"),
        ({"orders": [{"path": "x", "do": {"explode": True}}]}, "must hold one of"),
        ({"orders": [{"path": "x", "often": 3, "do": {"status": 500}}]}, "doesn't know often"),
        ({"orders": [{"path": "x", "rate": "0.1", "do": {"status": 500}}]}, "`rate` can't be '0.1'"),
        ({"orders": [{"path": "x", "do": {"status": 42}}]}, "200 to 599"),
        ({"orders": [{"path": "(", "do": {"status": 500}}]}, "no regular expression"),
        ({"settings": {"throtling": False}}, "no setting throtling"),
        ({"settings": {"throttling": "no"}}, "can't be 'no'"),
        ({"order": []}, "holds `orders`"),
        ({"settings": {"throttling": False}, "whatever": 1}, "doesn't know whatever"),
    ],
)
def test_a_scenario_that_makes_no_sense_is_refused_with_the_reason(content: Any, why: str) -> None:
    with pytest.raises(ValueError, match=re.escape(why)):
        parse("mine", content)


def test_a_refused_scenario_changes_nothing(sandbox: SandboxProcess) -> None:
    before = sandbox.control("GET", "settings")
    answer = sandbox.http.post(
        f"{sandbox.endpoint}/sandbox/scenarios",
        json={"settings": {"throttling": False}, "orders": [{"path": "x", "do": {"explode": 1}}]},
        headers={"x-sandbox-key": sandbox.description["control_key"]},
    )
    assert answer.status_code == 400
    assert sandbox.control("GET", "settings") == before


def test_an_unknown_name_is_answered_with_similar_ones() -> None:
    with pytest.raises(ValueError, match=r"no scenario called etag-mismatsh; did you mean etag-mismatch"):
        find("etag-mismatsh")


def test_a_file_that_is_no_yaml_is_refused_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("{")
    with pytest.raises(ValueError, match=r"bad\.yaml is no YAML"):
        read(tmp_path / "bad.yaml")


def test_the_process_takes_scenarios_by_name_and_file(tmp_path: Path) -> None:
    from azure_sandbox.client import start

    (tmp_path / "mine.yaml").write_text("[{path: x, do: {status: 500}}]")
    process = start(
        tmp_path / "state", "--scenario", "grafana-slow", "--scenario", str(tmp_path / "mine.yaml")
    )
    try:
        sandbox = SandboxProcess(tmp_path / "state")
        found = sandbox.control("GET", "faults")
        assert (found["scenarios"], len(found["faults"])) == (["grafana-slow", "mine"], 1)
        assert sandbox.control("GET", "settings")["durations"] == {"grafana_create": 1800}
        sandbox.http.close()
    finally:
        process.terminate()
        process.wait(timeout=60)


def test_a_process_with_an_unknown_scenario_ends_with_2_and_one_line(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "azure_sandbox",
        "--state",
        str(tmp_path / "s"),
        "--scenario",
        "none-such",
    ]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, timeout=150, check=False)
    assert ended.returncode == 2
    assert ended.stderr.startswith("sandbox: there is no scenario called none-such")
    assert len(ended.stderr.splitlines()) == 1


async def test_a_scenario_is_not_kept_over_a_restart(tmp_path: Path) -> None:
    first = Sandbox(tmp_path, persist=True)
    first.start()
    first.settings.update({"quota": {"cores": 10}})
    first.scenarios.apply(find("grafana-slow"))
    await first.stop()
    second = Sandbox(tmp_path, persist=True)
    second.start()
    assert (second.settings["durations"], second.settings["quota"]) == ({}, {"cores": 10})
    await second.stop()
