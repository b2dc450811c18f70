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
    done = run("plan", "--name", "cnpg", "--state", state, "--region", "koreacentral")
    assert done.returncode == 5, done.stderr
    assert re.search(r"^  create +AKS cluster  aks-primary-cnpg-\w{8}$", done.stdout, re.M)
    assert re.search(r"^ +postgres_pool\.vm_size: Standard_D4s_v5$", done.stdout, re.M)
    assert re.search(r"^  metrics: no price known: ", done.stdout, re.M)
    assert re.search(r"^  in all: at least [\d.]+ to [\d.]+; now 0.00, so \+", done.stdout, re.M)
    *_, last = done.stdout.splitlines()
    assert re.fullmatch(r"cnpg-koreacentral: \d+ to create(, \d+ to update)?\. Plan [0-9a-f]{12}\.", last)
    assert [line for line in done.stdout.splitlines() if line != line.rstrip()] == []
    assert writes(sandbox) == []


@pytest.mark.thorough
def test_what_can_t_be_done_ends_with_exit_code_1_and_in_the_json(
    run: Run, sandbox: SandboxProcess, state: Path
) -> None:
    done = run(
        "plan",
        "--state",
        state,
        "--json",
        "--set",
        "storage.sku=Standard_GZRS",
        "--name",
        "cnpg",
        "--region",
        "northcentralus",
    )
    assert done.returncode == 1, done.stderr
    found = json.loads(done.stdout)
    assert {(item["kind"], item["action"]) for item in found["items"]} == {("preflight", "can't")}
    assert found["totals"] == {"can't": len(found["items"])}
    assert found["cost"] is None
    assert writes(sandbox) == []
