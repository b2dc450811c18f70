"""What is changed of a database that was made on real PostgreSQL is one entry of the plan; what isn't ours is none.

The finished environment is carried to a sandbox without PostgreSQL, where nobody sets right what a test changes.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from aks_postgres.flows.plan import make_plan
from azure_sandbox.client import SandboxProcess, start

from ..conftest import point_at
from ..flows.conftest import writes
from ..flows.stage import Stage
from ..tasks.world import Json, put_at
from .conftest import WANTED, Deployed, with_database

pytestmark = [pytest.mark.database, pytest.mark.timeout(900)]

NAMESPACE = "/api/v1/namespaces/cnpg-database"
POSTGRES = "/apis/postgresql.cnpg.io/v1/namespaces/cnpg-database"
NAME = "{name}"
CLUSTER = f"{POSTGRES}/clusters/{NAME}"
STORE = f"/apis/barmancloud.cnpg.io/v1/namespaces/cnpg-database/objectstores/{NAME}-backups"
PLUGIN = "/apis/apps/v1/namespaces/cnpg-system/deployments/barman-cloud"
MONITORS = "/apis/azmonitoring.coreos.com/v1/namespaces/cnpg-database/podmonitors"
MONITOR = f"{MONITORS}/cnpg-cluster-metrics-managed-prometheus"
BARMAN = "barman-cloud.cloudnative-pg.io"

Do = Callable[[Stage, str], None]


def merged(path: str, body: Json) -> Do:
    """Somebody patches an object; `{name}` is the Cluster's name."""
    return lambda stage, name: stage.kube().merge(path.format(name=name), body) and None


def in_spec(**fields: Any) -> Do:
    return merged(CLUSTER, {"spec": fields})


def says(**fields: Any) -> Do:
    """The operator writes a status."""
    return merged(f"{CLUSTER}/status", {"status": fields})


def deleted(path: str) -> Do:
    def do(stage: Stage, name: str) -> None:
        got(stage, path.format(name=name))
        stage.kube().delete(path.format(name=name))

    return do


def changed_plugin(**fields: Any) -> Do:
    def do(stage: Stage, name: str) -> None:
        live = got(stage, CLUSTER.format(name=name))
        (plugin,) = live["spec"]["plugins"]
        for path, value in fields.items():
            put_at(plugin, path.replace("__", "."), value)
        stage.kube().merge(CLUSTER.format(name=name), {"spec": {"plugins": [plugin]}})

    return do


def got(stage: Stage, path: str) -> Json:
    found = stage.kube().get(path)
    assert found is not None, path
    return found


def arm(which: str, version: str, change: Callable[[Json], Any]) -> Do:
    """Somebody writes one of Azure's resources."""

    def do(stage: Stage, _name: str) -> None:
        (path,) = [
            one["body"]["id"]
            for one in stage.state["resources"]
            if one["type"].endswith(which.partition(" ")[0])
            and which.partition(" ")[2] in one["body"]["name"]
        ]
        body = stage.azure.arm("GET", path, api_version=version).json()
        change(body["properties"])
        answer = stage.azure.arm("PUT", path, body, api_version=version)
        assert answer.status_code in (200, 201, 202), answer.text

    return do


def run_another_sidecar(stage: Stage, _name: str) -> None:
    (container,) = got(stage, PLUGIN)["spec"]["template"]["spec"]["containers"]
    theirs = {**container, "image": "ghcr.io/theirs/plugin:1"}
    stage.kube().merge(PLUGIN, {"spec": {"template": {"spec": {"containers": [theirs]}}}})


CREDENTIAL = "federatedIdentityCredentials"
RULES = "prometheusRuleGroups Postgres"
# What is done, the step that would mend it, and the end of the field that it says; "" where something is made.
DRIFTS: dict[str, tuple[Do, str, str]] = {
    "more instances": (in_spec(instances=5), "postgres_cluster", "spec.instances"),
    "a parameter": (
        in_spec(postgresql={"parameters": {"work_mem": "1MB"}}),
        "postgres_cluster",
        "parameters.work_mem",
    ),
    "connections without TLS": (
        in_spec(postgresql={"pg_hba": ["host all all all scram-sha-256"]}),
        "postgres_cluster",
        "spec.postgresql.pg_hba",
    ),
    "durability": (
        in_spec(postgresql={"synchronous": {"dataDurability": "preferred"}}),
        "postgres_cluster",
        "synchronous.dataDurability",
    ),
    "no quorum": (
        in_spec(postgresql={"synchronous": {"failoverQuorum": False}}),
        "postgres_cluster",
        "synchronous.failoverQuorum",
    ),
    "an hour's switchover": (in_spec(switchoverDelay=3600), "postgres_cluster", "spec.switchoverDelay"),
    "more memory": (
        in_spec(resources={"limits": {"memory": "16Gi"}}),
        "postgres_cluster",
        "resources.limits.memory",
    ),
    "instances on one node": (
        in_spec(affinity={"podAntiAffinityType": "preferred"}),
        "postgres_cluster",
        "affinity.podAntiAffinityType",
    ),
    "no budget": (in_spec(enablePDB=False), "postgres_cluster", "spec.enablePDB"),
    "restart for switchover": (
        in_spec(primaryUpdateMethod="restart"),
        "postgres_cluster",
        "spec.primaryUpdateMethod",
    ),
    "another archive": (
        changed_plugin(parameters__serverName="theirs"),
        "postgres_cluster",
        f"plugins[{BARMAN}].parameters.serverName",
    ),
    "no archive": (
        changed_plugin(isWALArchiver=False),
        "postgres_cluster",
        f"plugins[{BARMAN}].isWALArchiver",
    ),
    "another image": (
        merged(f"{POSTGRES}/imagecatalogs/{NAME}", {"spec": {"images": [{"major": 18, "image": "pg:18.4"}]}}),
        "postgres_cluster",
        "images[0].image",
    ),
    "retention": (
        merged(STORE, {"spec": {"retentionPolicy": "30d"}}),
        "object_store",
        "spec.retentionPolicy",
    ),
    "another container": (
        merged(STORE, {"spec": {"configuration": {"destinationPath": "https://a.blob.core.windows.net/b"}}}),
        "object_store",
        "configuration.destinationPath",
    ),
    "another schedule": (
        merged(f"{POSTGRES}/scheduledbackups/{NAME}-schedule", {"spec": {"schedule": "0 0 0 1 * *"}}),
        "backup_schedule",
        "spec.schedule",
    ),
    "a suspended schedule": (
        merged(f"{POSTGRES}/scheduledbackups/{NAME}-schedule", {"spec": {"suspend": True}}),
        "backup_schedule",
        "spec.suspend",
    ),
    "no schedule": (deleted(f"{POSTGRES}/scheduledbackups/{NAME}-schedule"), "backup_schedule", ""),
    "no Secret": (deleted(f"{NAMESPACE}/secrets/db-user-pass"), "app_secret", ""),
    "no reload": (
        merged(f"{NAMESPACE}/secrets/db-user-pass", {"metadata": {"labels": {"cnpg.io/reload": None}}}),
        "app_secret",
        "labels.cnpg.io/reload",
    ),
    "another identity": (
        merged(
            f"{NAMESPACE}/serviceaccounts/{NAME}",
            {"metadata": {"annotations": {"azure.workload.identity/client-id": "theirs"}}},
        ),
        "database_account",
        "annotations.azure.workload.identity/client-id",
    ),
    "another owner": (
        merged(f"{POSTGRES}/databases/{NAME}-reports-db", {"spec": {"owner": "theirs"}}),
        "databases",
        "spec.owner",
    ),
    "more poolers": (
        merged(f"{POSTGRES}/poolers/{NAME}-pooler-rw", {"spec": {"instances": 5}}),
        "database_pooler",
        "spec.instances",
    ),
    "another pool mode": (
        merged(f"{POSTGRES}/poolers/{NAME}-pooler-rw", {"spec": {"pgbouncer": {"poolMode": "session"}}}),
        "database_pooler",
        "pgbouncer.poolMode",
    ),
    "operator's settings": (
        merged(
            "/api/v1/namespaces/cnpg-system/configmaps/cnpg-controller-manager-config",
            {"data": {"CLUSTERS_ROLLOUT_DELAY": "1"}},
        ),
        "operator_settings",
        "data.CLUSTERS_ROLLOUT_DELAY",
    ),
    "other metrics": (
        merged(MONITOR, {"spec": {"selector": {"matchLabels": {"cnpg.io/cluster": "theirs"}}}}),
        "database_monitor",
        "matchLabels.cnpg.io/cluster",
    ),
    "another plugin": (run_another_sidecar, "barman_plugin", "containers[barman-cloud].image"),
    "another subject": (
        arm(CREDENTIAL, "2024-11-30", lambda body: body.update(subject="system:serviceaccount:a:b")),
        "database_credential",
        "properties.subject",
    ),
}


def turned(stage: Stage, _name: str) -> None:
    (container,) = got(stage, PLUGIN)["spec"]["template"]["spec"]["containers"]
    theirs = {**container, "env": container["env"][::-1]}
    stage.kube().merge(PLUGIN, {"spec": {"template": {"spec": {"containers": [theirs]}}}})


def made(path: str, body: Json) -> Do:
    return lambda stage, name: (
        stage.kube().create(path, json.loads(json.dumps(body).replace(NAME, name))) and None
    )


def relabelled(stage: Stage, name: str) -> None:
    """After a failover, another pod is the primary."""
    roles = {f"{name}-1": "replica", f"{name}-2": "primary"}
    for pod, role in roles.items():
        labels = {"role": role, "cnpg.io/instanceRole": role}
        stage.kube().merge(f"{NAMESPACE}/pods/{pod}", {"metadata": {"labels": labels}})
    status = {"currentPrimary": f"{name}-2", "targetPrimary": f"{name}-2", "timelineID": 2}
    stage.kube().merge(f"{CLUSTER.format(name=name)}/status", {"status": status})


# Defaults of the released definition that the stand-in's doesn't set (api/v1/cluster_types.go of 1.30.0).
DEFAULTS: Json = {
    "failoverDelay": 0,
    "logLevel": "info",
    "maxSyncReplicas": 0,
    "minSyncReplicas": 0,
    "postgresGID": 26,
    "postgresUID": 26,
    "startDelay": 3600,
    "stopDelay": 1800,
    "monitoring": {"disableDefaultQueries": False, "enablePodMonitor": False},
    "replicationSlots": {"highAvailability": {"enabled": True, "slotPrefix": "_cnpg_"}, "updateInterval": 30},
    "primaryLease": {"leaseDurationSeconds": 15, "renewDeadlineSeconds": 10, "retryPeriodSeconds": 2},
}
NOISE: dict[str, Do] = {
    "failover": relabelled,
    "storage that was autoscaled": merged(
        f"{NAMESPACE}/persistentvolumeclaims/{NAME}-1",
        {"spec": {"resources": {"requests": {"storage": "128Gi"}}}},
    ),
    "rotated certificates": merged(f"{NAMESPACE}/secrets/{NAME}-server", {"data": {"tls.crt": "bmV3"}}),
    "rotated authority": merged(f"{NAMESPACE}/secrets/{NAME}-ca", {"data": {"ca.crt": "bmV3"}}),
    "a changed password": merged(f"{NAMESPACE}/secrets/db-user-pass", {"data": {"password": "bmV3"}}),
    "the operator's defaults": in_spec(**DEFAULTS),
    "the operator's parameters": in_spec(postgresql={"parameters": {"wal_keep_size": "512MB"}}),
    "a status": says(phaseReason="done", latestGeneratedNode=7, cloudNativePGOperatorHash="other"),
    "a window that moves on": merged(
        f"{STORE}/status",
        {"status": {"serverRecoveryWindow": {"other": {"firstRecoverabilityPoint": "2026-11-29T00:00:00Z"}}}},
    ),
    "annotations of the operator": merged(
        CLUSTER, {"metadata": {"annotations": {"cnpg.io/operatorVersion": "1.30.0"}}}
    ),
    "labels of others": merged(CLUSTER, {"metadata": {"labels": {"team": "shop"}}}),
    "labels of others on the store": merged(STORE, {"metadata": {"labels": {"team": "shop"}}}),
    "a list in another order": turned,
    "memory in Mi": in_spec(resources={"limits": {"memory": "8192Mi"}, "requests": {"memory": "8192Mi"}}),
    "CPUs in thousandths": in_spec(resources={"limits": {"cpu": "2000m"}, "requests": {"cpu": "2000m"}}),
    "CPUs as a number": in_spec(resources={"limits": {"cpu": 2}, "requests": {"cpu": 2}}),
    "a size in Mi": in_spec(storage={"size": "65536Mi"}),
    "a backup by the clock": made(
        f"{POSTGRES}/backups",
        {
            "apiVersion": "postgresql.cnpg.io/v1",
            "kind": "Backup",
            "metadata": {"name": f"{NAME}-schedule-20261129021500"},
            "spec": {"cluster": {"name": NAME}, "method": "plugin", "pluginConfiguration": {"name": BARMAN}},
        },
    ),
    "a database of others": made(
        f"{POSTGRES}/databases",
        {
            "apiVersion": "postgresql.cnpg.io/v1",
            "kind": "Database",
            "metadata": {"name": "theirs"},
            "spec": {"cluster": {"name": NAME}, "name": "theirs", "owner": "app"},
        },
    ),
    "an account's pull secrets": merged(
        f"{NAMESPACE}/serviceaccounts/{NAME}", {"imagePullSecrets": [{"name": "registry"}]}
    ),
    "a Service's annotations": merged(
        f"{NAMESPACE}/services/{NAME}-rw", {"metadata": {"annotations": {"theirs.example/checked": "yes"}}}
    ),
    "a setting of others": merged(
        "/api/v1/namespaces/cnpg-system/configmaps/cnpg-controller-manager-config",
        {"data": {"WATCH_NAMESPACE": "cnpg-database"}},
    ),
    "a restarted plugin": merged(
        PLUGIN,
        {"spec": {"template": {"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": "now"}}}}},
    ),
    "a backup that is deleted": deleted(f"{POSTGRES}/backups/{NAME}-first"),
}


@pytest.fixture(scope="module")
def carried(
    deployed: Deployed, with_postgres: SandboxProcess, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[SandboxProcess, Json]]:
    """A sandbox without PostgreSQL, and the finished environment's state for it."""
    state = with_postgres.control("GET", "state")
    folder = tmp_path_factory.mktemp("carried") / "state"
    process = start(folder, "--speed", "1000", "--postgres", "off")
    azure = SandboxProcess(folder)
    own = azure.control("GET", "state")
    text = json.dumps(state).replace(with_postgres.endpoint, azure.endpoint)
    for secret in ("control_key", "client_secret"):
        text = text.replace(state[secret], own[secret])
    try:
        yield azure, json.loads(text)
    finally:
        process.terminate()
        process.wait(timeout=60)


@pytest.fixture
def stage(
    carried: tuple[SandboxProcess, Json], deployed: Deployed, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Stage:
    azure, state = carried
    point_at(azure, monkeypatch)
    monkeypatch.setenv("AKS_POSTGRES_TIME_SCALE", "1000")
    found = Stage(azure, deployed.first.outputs, state, tmp_path)
    azure.control("PUT", "state", state)
    return found


@pytest.mark.parametrize("what", DRIFTS)
async def test_a_drift_is_one_entry(stage: Stage, deployed: Deployed, what: str) -> None:
    do, step, field = DRIFTS[what]
    do(stage, deployed.outputs.cluster)
    since = len(stage.azure.ledger())
    found = await make_plan(with_database(stage.azure, **WANTED), recorded=False)
    entries = [one for one in found.steps if one.action != "nothing"]
    assert [one.step for one in entries] == [step], [change.field for one in entries for change in one.fields]
    assert entries[0].action == ("update" if field else "create")
    (change,) = entries[0].fields
    assert change.field.endswith(field), change
    assert writes(stage.azure.ledger()[since:]) == []


@pytest.mark.parametrize("which", range(3))
async def test_noise_is_no_drift(stage: Stage, deployed: Deployed, which: int) -> None:
    """A third of it at once. Neighbours in the table may change the same field, and so are in different thirds."""
    for do in list(NOISE.values())[which::3]:
        do(stage, deployed.outputs.cluster)
    found = await make_plan(with_database(stage.azure, **WANTED), recorded=False)
    assert [(one.step, one.action, one.fields) for one in found.steps if one.action != "nothing"] == []


def test_there_are_twenty_of_each() -> None:
    assert min(len(DRIFTS), len(NOISE)) >= 20
