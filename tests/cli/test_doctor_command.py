"""`doctor` at a terminal: a table, JSON, and the README's exit codes."""

import json
from pathlib import Path

import pytest

from aks_postgres.cli.doctor import print_checks
from aks_postgres.reports.diagnosis import Check, Diagnosis
from azure_sandbox.client import SandboxProcess

from .conftest import NAMED, Run


@pytest.mark.thorough
def test_a_clean_subscription_is_a_table_and_exit_code_0(
    run: Run, sandbox: SandboxProcess, state: Path
) -> None:
    ended = run("doctor", *NAMED, "--sandbox", "--state", state)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    header, *rows = ended.stdout.splitlines()
    assert header.split() == ["CHECK", "VERDICT", "FOUND", "NEXT", "STEP"]
    assert [row.split("  ")[0] for row in rows][:7] == [
        "credential",
        "clock",
        "proxy",
        "TLS",
        "Prefect server",
        "lock",
        "subscription",
    ]
    sandbox.settings(quota={"standardDSv5Family": 10})
    ended = run("doctor", *NAMED, "--sandbox", "--state", state, "--json", HTTPS_PROXY="")
    assert ended.returncode == 1
    found = json.loads(ended.stdout)
    (told,) = [check for check in found["checks"] if check["verdict"] == "stops a run"]
    assert told["name"] == "quota"
    assert told["next_step"]


@pytest.mark.thorough
def test_the_exit_code_is_that_of_the_first_thing_to_see_to(
    run: Run, sandbox: SandboxProcess, state: Path
) -> None:
    gone = {"PREFECT_API_URL": "http://127.0.0.1:9/api"}
    assert run("doctor", *NAMED, "--sandbox", "--state", state, **gone).returncode == 4
    wrong = {"AZURE_TENANT_ID": sandbox.tenant_id, "AZURE_CLIENT_ID": "nobody", "AZURE_CLIENT_SECRET": "x"}
    found = sandbox.description
    azure = {
        "AZURE_SUBSCRIPTION_ID": sandbox.subscription_id,
        "AZURE_AUTHORITY_HOST": found["endpoint"],
        "AKS_POSTGRES_ARM_ENDPOINT": found["endpoint"],
        "SSL_CERT_FILE": found["ca_bundle"],
    }
    assert run("doctor", *NAMED, **gone, **wrong, **azure).returncode == 3


@pytest.mark.parametrize("next_step", ["", "Ask for more."])
def test_a_terminal_shows_no_column_that_nothing_fills(
    next_step: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    check = Check(name="quota", verdict="fine", found="enough", next_step=next_step)
    print_checks(Diagnosis(environment="x", checks=(check,)))
    assert ("NEXT STEP" in capsys.readouterr().out) == bool(next_step)
