"""`list`, `status` and `fleet` where there is nothing, and that looking for what isn't there is quick."""

import json
from pathlib import Path

import pytest

from azure_sandbox.client import SandboxProcess

from .conftest import NAMED, Run
from .test_commands import failed, writes


@pytest.mark.thorough
def test_a_list_of_nothing_is_empty(run: Run, sandbox: SandboxProcess, state: Path) -> None:
    done = run("list", "--state", state, "--json")
    assert (done.returncode, json.loads(done.stdout)) == (0, [])
    assert writes(sandbox) == []


@pytest.mark.parametrize(
    "command",
    [
        ("outputs", *NAMED),
        *(
            pytest.param(one, marks=pytest.mark.thorough)
            for one in (("kubeconfig", *NAMED), ("status", "cnpg", "canadacentral"))
        ),
    ],
)
def test_what_isn_t_there_is_said_after_two_lists(
    run: Run, sandbox: SandboxProcess, state: Path, command: tuple[str, ...]
) -> None:
    done = run(*command, "--state", state)
    failed(done, 1, "there is no environment cnpg-canadacentral", "there: none", "aks-postgres provision")
    assert len(sandbox.ledger(service="arm")) == 2


@pytest.mark.thorough
def test_a_fleet_needs_regions_and_somebody_who_says_yes(
    run: Run, sandbox: SandboxProcess, state: Path
) -> None:
    failed(run("fleet", "--name", "cnpg", "--state", state), 2, "--region", "--regions-file")
    failed(run("fleet", "--name", "cnpg", "--region", "westus3", "--state", state), 2, "fleet asks", "--yes")
    assert sandbox.ledger() == []
