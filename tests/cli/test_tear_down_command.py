"""`aks-postgres tear-down`: what has to be typed, and what is printed."""

import json
from pathlib import Path

import pytest

from azure_sandbox.client import SandboxProcess

from .conftest import NAMED, Run
from .test_commands import failed, writes

KEY = "cnpg-canadacentral"


@pytest.mark.thorough
def test_the_name_has_to_be_typed_and_nothing_pre_fills_it(
    run: Run, sandbox: SandboxProcess, state: Path, prefect_url: str
) -> None:
    missing = run("tear-down", *NAMED, "--state", state)
    assert missing.returncode == 2
    assert "--confirm cnpg-canadacentral" in missing.stderr
    wrong = run(
        "tear-down",
        *NAMED,
        "--state",
        state,
        "--confirm",
        "cnpg",
        "--delete-backups",
        "all",
        PREFECT_API_URL=prefect_url,
    )
    failed(
        wrong, 2, f"tear-down of {KEY} is refused for 2 problems", "confirm: 'cnpg'", "delete_backups: 'all'"
    )
    assert writes(sandbox) == []


TEAR_DOWN, REBUILD = ("tear-down", "--confirm"), ("rebuild", "--confirm")


@pytest.mark.parametrize(
    "typed",
    [
        (*TEAR_DOWN, "cnpg"),
        (*REBUILD, KEY, "--discard-data", "yes"),
        *(
            pytest.param(typed, marks=pytest.mark.thorough)
            for typed in (
                (*TEAR_DOWN, KEY, "--delete-backups", "all"),
                (*TEAR_DOWN, KEY, "--discard-data", "yes"),
                (*REBUILD, "cnpg"),
                (*REBUILD, "cnpg", "--strategy", "replace", "--approval"),
            )
        ),
    ],
)
def test_a_word_typed_wrong_is_refused_with_no_server_looked_for_and_no_run_made(
    run: Run, sandbox: SandboxProcess, state: Path, typed: tuple[str, ...]
) -> None:
    # Nobody answers there, which is said of a run that would be made.
    wrong = run(*typed, *NAMED, "--state", state, PREFECT_API_URL="http://127.0.0.1:9/api", PYTHONVERBOSE="1")
    assert wrong.returncode == 2
    assert f"{typed[0]} of {KEY} is refused for 1 problem; nothing was deleted or written" in wrong.stderr
    # Both take seconds to import.
    for heavy in ("prefect", "azure.core", "aiohttp"):
        assert f"import '{heavy}'" not in wrong.stderr
    assert "import 'aks_postgres.spec.environment'" in wrong.stderr
    assert sandbox.ledger() == []


@pytest.mark.thorough
def test_where_nothing_is_there_it_says_so(
    run: Run, sandbox: SandboxProcess, state: Path, prefect_url: str
) -> None:
    done = run("tear-down", *NAMED, "--state", state, "--confirm", KEY, PREFECT_API_URL=prefect_url)
    assert done.returncode == 0, done.stderr
    assert f"{KEY}: nothing left to delete" in done.stdout
    assert done.stdout.startswith(f"Tear-down of {KEY}\n")
    assert not set("#*|`") & set(done.stdout)
    assert writes(sandbox) == []


@pytest.mark.thorough
def test_an_unfinished_environment_is_torn_down_with_a_receipt(
    run: Run, sandbox: SandboxProcess, state: Path, prefect_url: str
) -> None:
    refusal = {"status": 403, "code": "RequestDisallowedByPolicy", "message": "No."}
    sandbox.fault(refusal, operation="AzureMonitorWorkspaces_CreateOrUpdate", nth=1)
    assert run("provision", "--yes", *NAMED, "--state", state, PREFECT_API_URL=prefect_url).returncode == 1
    sandbox.fault(refusal, operation="Grafana_Delete", nth=1)
    half = run("tear-down", *NAMED, "--state", state, "--confirm", KEY, PREFECT_API_URL=prefect_url)
    failed(half, 1, "## Not finished", "RequestDisallowedByPolicy", "managed identity")
    done = run("tear-down", *NAMED, "--state", state, "--confirm", KEY, "--json", PREFECT_API_URL=prefect_url)
    assert done.returncode == 0, done.stderr
    receipt = json.loads(done.stdout)
    assert [item["what"] for item in receipt["deleted"]] == ["Managed Grafana", "resource group"]
    assert [item["what"] for item in receipt["kept"]] == ["storage account", "backup resource group"]
    assert "delete_grafana" in done.stderr


@pytest.mark.thorough
def test_a_rebuild_whose_name_is_typed_wrong_is_refused_before_the_first_write(
    run: Run, sandbox: SandboxProcess, state: Path, prefect_url: str
) -> None:
    wrong = run(
        "rebuild",
        "--yes",
        *NAMED,
        "--state",
        state,
        "--confirm",
        "cnpg",
        "--strategy",
        "replace",
        PREFECT_API_URL=prefect_url,
    )
    failed(wrong, 2, f"rebuild of {KEY} is refused for 1 problem", f"confirm: 'cnpg' was given. Type {KEY}")
    assert writes(sandbox) == []
