import json
import os
import socket
import stat
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

from aks_postgres.cli.main import app
from aks_postgres.exit_codes import CommandFailed
from azure_sandbox.client import SandboxProcess

from .conftest import Run


def described(folder: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads((folder / "sandbox.json").read_text())
    return found


def test_start_says_where_it_is_and_stop_ends_it(run: Run, own_sandbox: Path) -> None:
    sandbox = described(own_sandbox)
    status = json.loads(run("sandbox", "status", "--state", own_sandbox, "--json").stdout)
    assert (status["endpoint"], status["pid"], status["speed"]) == (
        sandbox["endpoint"],
        sandbox["pid"],
        1000,
    )
    assert stat.S_IMODE((own_sandbox / "sandbox.log").stat().st_mode) == 0o600

    stopped = run("sandbox", "stop", "--state", own_sandbox)
    assert (stopped.returncode, str(sandbox["pid"]) in stopped.stdout) == (0, True)
    assert not (own_sandbox / "sandbox.json").exists()
    gone = run("sandbox", "status", "--state", own_sandbox)
    assert gone.returncode == 4
    assert "no sandbox is running" in gone.stderr
    assert run("sandbox", "stop", "--state", own_sandbox).returncode == 0


def test_a_second_start_is_refused_and_names_the_first(run: Run, own_sandbox: Path) -> None:
    second = run("sandbox", "start", "--state", own_sandbox)
    assert second.returncode == 2
    assert str(described(own_sandbox)["endpoint"]) in second.stderr
    assert "Traceback" not in second.stderr


@pytest.mark.thorough
def test_a_start_beside_a_start_is_refused(run: Run, tmp_path: Path) -> None:
    import fcntl

    with (tmp_path / "start.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        beside = run("sandbox", "start", "--state", tmp_path)
    assert (beside.returncode, "another start is under way" in beside.stderr) == (2, True)


def test_a_port_in_use_is_said_plainly(run: Run, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        refused = run("sandbox", "start", "--state", tmp_path / "s", "--port", port)
    assert refused.returncode == 4
    assert f"port {port} can't be used" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_description_left_by_a_crash_is_no_sandbox(run: Run, tmp_path: Path) -> None:
    # Our own process lives, but it isn't a sandbox: the number was given to someone else after a crash.
    left = {"pid": os.getpid(), "endpoint": "https://localhost:1", "speed": 1}
    texts = (
        "ca_file ca_bundle tenant_id subscription_id subscription_name client_id client_secret object_id "
        "control_key egress_url operator_manifest_url operator_manifest_sha256 cert_manager_manifest_url "
        "cert_manager_manifest_sha256 plugin_manifest_url plugin_manifest_sha256 kubernetes proxy_url"
    )
    (tmp_path / "sandbox.json").write_text(json.dumps({**dict.fromkeys(texts.split(), ""), **left}))
    assert run("sandbox", "status", "--state", tmp_path).returncode == 4
    assert run("sandbox", "stop", "--state", tmp_path).stdout == "No sandbox is running.\n"


def test_env_can_be_taken_over_by_a_shell_and_says_everything(
    run: Run, sandbox: SandboxProcess, state: Path
) -> None:
    printed = run("sandbox", "env", "--state", state).stdout
    found = sandbox.description
    names = "AZURE_CLIENT_SECRET AKS_POSTGRES_ARM_ENDPOINT SSL_CERT_FILE AKS_POSTGRES_TIME_SCALE KUBECONFIG"
    shell = subprocess.run(
        ["sh", "-euc", printed + "".join(f'\nprintf "%s\\n" "${name}"' for name in names.split())],
        capture_output=True,
        text=True,
        check=True,
    )
    assert shell.stdout.splitlines() == [
        found["client_secret"],
        found["endpoint"],
        found["ca_bundle"],
        "1000",
        str(state / "kubeconfig"),
    ]
    as_json = json.loads(run("sandbox", "env", "--state", state, "--shell", "json").stdout)
    assert as_json["AZURE_CLIENT_SECRET"] == found["client_secret"]
    assert as_json["AZURE_CONFIG_DIR"] == str(state / "az")


def test_env_says_how_to_register_a_cloud_that_az_doesnt_know_yet(
    run: Run, sandbox: SandboxProcess, state: Path
) -> None:
    cloud = f"sandbox-{urlsplit(sandbox.endpoint).port}"
    clouds = state / "az" / "clouds.config"
    clouds.parent.mkdir(exist_ok=True)
    clouds.write_text("[sandbox-1]\nendpoint_resource_manager = https://localhost:1\n")
    assert f"az cloud register -n {cloud} " in run("sandbox", "env", "--state", state).stdout
    clouds.write_text(f"[{cloud}]\nendpoint_resource_manager = {sandbox.endpoint}\n")
    printed = run("sandbox", "env", "--state", state).stdout
    clouds.unlink()
    assert "az cloud register" not in printed
    assert f"az cloud set -n {cloud}\n" in printed


def test_env_can_put_the_sandbox_in_the_public_clouds_place(
    run: Run, sandbox: SandboxProcess, state: Path
) -> None:
    command = ["sandbox", "env", "--state", state, "--shell", "json", "--cloud", "public"]
    printed = json.loads(run(*command, NO_PROXY="internal.example").stdout)
    assert printed["HTTPS_PROXY"] == sandbox.description["proxy_url"]
    assert printed["NO_PROXY"].split(",") == ["internal.example", "localhost", "127.0.0.1"]
    assert printed["REQUESTS_CA_BUNDLE"] == sandbox.description["ca_bundle"]
    # A client that took it over from another shell would go to the sandbox's own address.
    assert "AZURE_AUTHORITY_HOST" not in printed


@pytest.mark.thorough
def test_faults_are_ordered_listed_and_cleared(run: Run, state: Path, tmp_path: Path) -> None:
    orders = [
        {"operation": "ManagedClusters_CreateOrUpdate", "do": {"status": 503, "code": "ServerBusy"}},
        {"path": "/workspaces/", "method": "PUT", "nth": 2, "do": {"cut": "after"}},
    ]
    file = tmp_path / "faults.yaml"
    file.write_text(yaml.safe_dump(orders))
    ordered = run("sandbox", "faults", "order", file, "--state", state)
    assert (ordered.returncode, len(ordered.stdout.split())) == (0, 2), ordered.stderr
    listed = json.loads(run("sandbox", "faults", "--json", "--state", state).stdout)["faults"]
    assert [fault["do"] for fault in listed] == [order["do"] for order in orders]
    assert run("sandbox", "faults", "clear", "--state", state).returncode == 0
    assert "No failure is ordered" in run("sandbox", "faults", "--state", state).stdout


@pytest.mark.thorough
def test_scenarios_are_listed_ordered_by_name_and_taken_back(
    run: Run, sandbox: SandboxProcess, state: Path
) -> None:
    text = run("sandbox", "faults", "--state", state).stdout
    assert "grafana-slow\n    Managed Grafana takes half an hour.\n    A good client: Keep polling" in text
    ordered = run("sandbox", "faults", "order", "grafana-slow", "--state", state)
    assert (ordered.returncode, ordered.stdout) == (0, 'durations = {"grafana_create": 1800}\n')
    assert "In force: grafana-slow" in run("sandbox", "faults", "--state", state).stdout
    run("sandbox", "faults", "clear", "--state", state)
    assert sandbox.control("GET", "settings")["durations"] == {}
    unknown = run("sandbox", "faults", "order", "grafana-slov", "--state", state)
    assert (unknown.returncode, "did you mean grafana-slow" in unknown.stderr) == (2, True)


@pytest.mark.thorough
def test_a_scenario_of_ones_own_is_a_file(
    run: Run, sandbox: SandboxProcess, state: Path, tmp_path: Path
) -> None:
    file = tmp_path / "monday.yaml"
    file.write_text(
        "settings: {throttling: false}\n"
        "orders: [{operation: ResourceGroups_Get, rate: 0.5, seed: 7, do: {status: 503}}]"
    )
    ordered = run("sandbox", "faults", "order", file, "--state", state)
    assert ordered.stdout.splitlines()[1:] == ["throttling = false"], ordered.stderr
    listed = json.loads(run("sandbox", "faults", "--json", "--state", state).stdout)
    assert (listed["scenarios"], listed["faults"][0]["rate"]) == (["monday"], 0.5)


def test_the_scenarios_are_listed_without_a_sandbox(run: Run, tmp_path: Path) -> None:
    listed = run("sandbox", "faults", "--state", tmp_path / "none")
    assert (listed.returncode, "No sandbox is running." in listed.stdout) == (0, True), listed.stderr
    as_json = json.loads(run("sandbox", "faults", "--json", "--state", tmp_path / "none").stdout)
    assert len(as_json["catalogue"]) >= 24


@pytest.mark.thorough
def test_a_start_with_an_unknown_scenario_says_so(run: Run, tmp_path: Path) -> None:
    refused = run("sandbox", "start", "--state", tmp_path / "s", "--scenario", "nothing-like-it")
    assert refused.returncode == 4
    assert "there is no scenario called nothing-like-it" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_an_order_that_makes_no_sense_is_bad_input_in_the_sandbox_s_words(
    run: Run, state: Path, tmp_path: Path
) -> None:
    (tmp_path / "faults.yaml").write_text("{operation: ManagedClusters_Get, do: {explode: true}}")
    refused = run("sandbox", "faults", "order", tmp_path / "faults.yaml", "--state", state)
    assert (refused.returncode, "`do` must hold one of" in refused.stderr) == (2, True)


def test_ledger_and_resources_show_what_was_asked_for_and_reset_empties_them(
    run: Run, sandbox: SandboxProcess, state: Path, group: str
) -> None:
    ledger = run("sandbox", "ledger", "--state", state, "--service", "arm").stdout
    assert "ResourceGroups_CreateOrUpdate  201" in ledger
    lines = run("sandbox", "ledger", "--state", state, "--json").stdout.splitlines()
    services = [json.loads(line)["service"] for line in lines]
    assert services == [entry["service"] for entry in sandbox.ledger()]
    assert len(run("sandbox", "ledger", "--state", state, "--json", "--since", 1).stdout.splitlines()) == (
        len(lines) - 1
    )
    listed = run("sandbox", "resources", "--state", state).stdout
    assert "Microsoft.Resources/resourceGroups  rg-test  Succeeded" in listed
    bodies = json.loads(run("sandbox", "resources", "--state", state, "--json").stdout)
    assert group in [body["id"] for body in bodies]

    assert run("sandbox", "reset", "--state", state).returncode == 0
    assert json.loads(run("sandbox", "resources", "--state", state, "--json").stdout) == []
    assert sandbox.ledger() == []


@pytest.mark.parametrize(
    "command",
    [
        "sandbox start --state",
        "sandbox faults --state",
        "sandbox env --state",
        "plan --name cnpg --region canadacentral --sandbox --state",
        "provision --name cnpg --region canadacentral --yes --sandbox --state",
        "status cnpg canadacentral --sandbox --state",
        "deployments apply --sandbox --state",
        "demo start --folder",
    ],
)
def test_without_the_sandbox_s_package_it_says_how_to_install_it(
    command: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "azure_sandbox", None)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "regions.yaml").write_text("- spec: {name: cnpg, region: canadacentral}\n")
    with pytest.raises(CommandFailed, match=r"pip install \./packages/azure-sandbox"):
        app([*command.split(), str(tmp_path / "state")], standalone_mode=False)
    assert not (tmp_path / "state").exists()
