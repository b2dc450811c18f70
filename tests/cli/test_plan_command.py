"""`aks-postgres plan`: what is printed, for people and as JSON, and how it ends."""

import json
import re
from pathlib import Path

import pytest

from azure_sandbox.client import SandboxProcess

from .conftest import Run
from .test_commands import writes


def test_a_plan_says_what_would_be_made_and_what_it_costs(
    run: Run, sandbox: SandboxProcess, state: Path
) -> None:
    done = run("plan", "--state", state, "--region", "koreacentral")
    assert done.returncode == 5, done.stderr
    *steps, cost, headline = done.stdout.splitlines()
    assert steps[0] == "create         resource_group"
    assert re.fullmatch(r"Cost a day, roughly: at least \d+\.\d\d USD .*; plus unknown: .*metrics.*", cost)
    assert re.fullmatch(r"cnpg-koreacentral: \d+ to create, \d+ to update", headline)
    assert writes(sandbox) == []


@pytest.mark.thorough
def test_what_can_t_be_done_ends_with_exit_code_1_and_in_the_json(
    run: Run, sandbox: SandboxProcess, state: Path
) -> None:
    done = run(
        "plan", "--state", state, "--json", "--set", "storage.sku=Standard_GZRS", "--region", "northcentralus"
    )
    assert done.returncode == 1, done.stderr
    found = json.loads(done.stdout)
    assert {(step["step"], step["action"]) for step in found["steps"]} == {("preflight", "can't")}
    assert found["cost"]["low_usd"] > 0
    assert "2 to 3 nodes Standard_D4s_v5 (systempool)" in found["cost"]["unknown"]
    assert writes(sandbox) == []
