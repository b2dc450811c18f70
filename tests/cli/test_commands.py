"""Commands against the sandbox, and what a person reads when something is missing."""

import json
import re
import socket
import stat
import subprocess
from pathlib import Path

import pytest

from aks_postgres.cli.guide_variables import VARIABLES
from azure_sandbox.client import SandboxProcess

from ..cases import shown
from .conftest import NAMED, Run

WRITES = ("PUT", "PATCH", "POST", "DELETE")
# POST is how these read.
READS = re.compile(r"(List|Check|listClusterUser)", re.I)


def writes(sandbox: SandboxProcess) -> list[dict[str, object]]:
    return [
        entry
        for entry in sandbox.ledger()
        if entry["service"] in ("arm", "blob", "grafana", "kubernetes")
        and entry["method"] in WRITES
        and not READS.search(str(entry["operation"]))
    ]


def failed(done: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    """It ended with this code and a message that holds the words: no traceback, nothing on stdout."""
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr


def test_an_environment_from_nothing_to_kubectl(
    run: Run, sandbox: SandboxProcess, state: Path, prefect_url: str, tmp_path: Path
) -> None:
    here = (*NAMED, "--sandbox", "--state", state)
    first = run("provision", "--yes", *here, "--json", PREFECT_API_URL=prefect_url)
    assert first.returncode == 0, first.stderr
    made = json.loads(first.stdout)
    assert made["cluster"]["name"].startswith("aks-primary-cnpg-")
    assert re.search(rf"AKS cluster: created .*\[ensure_cluster {made['cluster']['name']}\]", first.stderr)
    assert "Run and its graph" not in first.stderr  # The tests' server has no UI; the demo's has.

    before = len(writes(sandbox))
    plan = run("plan", *here)
    assert plan.returncode == 0, plan.stderr
    assert re.fullmatch(r"cnpg-canadacentral: nothing to do, \d+ unchanged; .*\n", plan.stdout)

    variables = run("outputs", *here, "--format", "env").stdout
    echoes = "".join(f'\nprintf "%s=%s\\n" {name} "${{{name}}}"' for name in VARIABLES)
    shell = subprocess.run(["sh", "-euc", variables + echoes], capture_output=True, text=True, check=True)
    values = dict(line.split("=", 1) for line in shell.stdout.splitlines())
    assert list(values) == list(VARIABLES)
    assert [name for name, value in values.items() if not value] == []
    assert values["AKS_PRIMARY_CLUSTER_NAME"] == made["cluster"]["name"]
    assert values["AKS_UAMI_WORKLOAD_CLIENTID"] == made["identity"]["client_id"]
    assert json.loads(values["AKS_UAMI_WI_IDENTITY"])["principalId"] == made["identity"]["principal_id"]
    assert writes(sandbox)[before:] == []

    written = run("kubeconfig", *here, "--file", tmp_path / "kubeconfig")
    assert written.returncode == 0, written.stderr
    assert written.stdout == f"export KUBECONFIG={tmp_path / 'kubeconfig'}\n"
    assert stat.S_IMODE((tmp_path / "kubeconfig").stat().st_mode) == 0o600
    assert "client-certificate-data" in (tmp_path / "kubeconfig").read_text() or (
        "token" in (tmp_path / "kubeconfig").read_text()
    )
    assert not (tmp_path / ".kube").exists()


@pytest.mark.thorough
def test_a_finished_environment_is_shown_for_people_and_for_programs(
    run: Run, sandbox: SandboxProcess, state: Path, prefect_url: str
) -> None:
    here = (*NAMED, "--sandbox", "--state", state)
    made = json.loads(run("provision", "--yes", *here, "--json", PREFECT_API_URL=prefect_url).stdout)
    before = len(writes(sandbox))
    second = run("provision", "--yes", *here, PREFECT_API_URL=prefect_url)
    assert second.returncode == 0, second.stderr
    assert "# cnpg in canadacentral" not in second.stdout  # rendered, not raw
    assert "cnpg in canadacentral" in second.stdout

    table = run("outputs", *here)
    assert table.returncode == 0, table.stderr
    assert re.search(rf"^AKS cluster +{made['cluster']['name']}$", table.stdout, re.M)
    read = json.loads(run("outputs", *here, "--format", "json").stdout)
    assert {key: read[key]["id"] for key in ("cluster", "grafana", "public_ip")} == (
        {key: made[key]["id"] for key in ("cluster", "grafana", "public_ip")}
    )
    assert writes(sandbox)[before:] == []
    failed(
        run("outputs", *here, "--name", "other"),
        1,
        "no environment other-canadacentral",
        "there: cnpg-canada",
    )


@pytest.mark.thorough
def test_a_failed_run_ends_with_azure_s_words_once(
    run: Run, sandbox: SandboxProcess, state: Path, prefect_url: str
) -> None:
    sandbox.fault(
        {"status": 403, "code": "RequestDisallowedByPolicy", "message": "No groups in this subscription."},
        operation="ResourceGroups_CreateOrUpdate",
    )
    done = run("provision", "--yes", *NAMED, "--state", state, PREFECT_API_URL=prefect_url)
    failed(done, 1, "RequestDisallowedByPolicy")
    assert done.stderr.count("aks-postgres: ") == 1


def test_a_bad_spec_is_refused_with_every_field_before_anything_is_asked(
    run: Run, sandbox: SandboxProcess, state: Path
) -> None:
    done = run("provision", "--state", state, "--name", "Bad", "--set", "postgres_pool.max_count=1")
    failed(done, 2, "name: ", "postgres_pool.max_count: ", "nothing was written")
    assert sandbox.ledger() == []


@pytest.mark.thorough
def test_no_subscription_is_bad_input(run: Run) -> None:
    failed(run("outputs", *NAMED), 2, "subscription_id", "AZURE_SUBSCRIPTION_ID")


@pytest.mark.parametrize("command", shown(["provision", "kubeconfig", "outputs"]))
def test_no_sandbox_is_said_plainly(run: Run, tmp_path: Path, command: str) -> None:
    done = run(command, *NAMED, "--sandbox", "--state", tmp_path / "none")
    failed(done, 4, "no sandbox is running", f"aks-postgres sandbox start --state {tmp_path / 'none'}")


def test_a_sandbox_that_is_gone_from_under_its_variables_is_said_in_one_line(run: Run) -> None:
    done = run("outputs", *NAMED, AKS_POSTGRES_ARM_ENDPOINT=f"https://localhost:{closed_port()}")
    failed(done, 4, "isn't running", "aks-postgres sandbox env")
    assert len(done.stderr.splitlines()) == 1  # no line of a pause before another try


@pytest.mark.thorough
def test_a_prefect_server_that_can_t_be_reached_is_said_plainly(
    run: Run, sandbox: SandboxProcess, state: Path
) -> None:
    url = f"http://127.0.0.1:{closed_port()}/api"
    failed(
        run("provision", "--yes", *NAMED, "--state", state, PREFECT_API_URL=url), 4, url, "PREFECT_API_URL"
    )
    assert writes(sandbox) == []


@pytest.mark.thorough
def test_a_wrong_secret_is_one_message_after_one_try(run: Run, sandbox: SandboxProcess) -> None:
    done = run("outputs", *NAMED, **azure_variables(sandbox) | {"AZURE_CLIENT_SECRET": "wrong"})
    failed(done, 3, "AZURE_CLIENT_SECRET", "AADSTS7000215")
    assert len(done.stderr.splitlines()) == 1
    assert sandbox.description["client_secret"] not in done.stderr
    assert len(sandbox.ledger(service="entra", method="POST")) == 1


def test_kubectl_s_own_file_is_refused(run: Run, state: Path, tmp_path: Path) -> None:
    done = run("kubeconfig", *NAMED, "--state", state, "--file", tmp_path / ".kube" / "config")
    failed(done, 2, "kubectl's own file")
    assert not (tmp_path / ".kube").exists()


def test_fields_lists_every_field_with_default_and_meaning(run: Run) -> None:
    found = {entry["field"]: entry for entry in json.loads(run("fields", "--json").stdout)}
    assert found["postgres_pool.max_count"]["default"] == 6
    assert ">= 1" in found["postgres_pool.max_count"]["allowed"]
    assert found["region"]["description"].startswith("Azure region")
    assert "postgres_pool.max_count = 6\n    Most nodes.\n" in run("fields").stdout


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def azure_variables(sandbox: SandboxProcess) -> dict[str, str]:
    found = sandbox.description
    return {
        "AZURE_TENANT_ID": found["tenant_id"],
        "AZURE_CLIENT_ID": found["client_id"],
        "AZURE_CLIENT_SECRET": found["client_secret"],
        "AZURE_SUBSCRIPTION_ID": found["subscription_id"],
        "AZURE_AUTHORITY_HOST": found["endpoint"],
        "AKS_POSTGRES_ARM_ENDPOINT": found["endpoint"],
        "AKS_POSTGRES_TIME_SCALE": "1000",
        "AKS_POSTGRES_EGRESS_URL": found["egress_url"],
        "SSL_CERT_FILE": found["ca_bundle"],
    }
