"""Backups of a real server, by barman-cloud's own programs, with a federated token of the cluster's own issuer."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest

from azure_sandbox.postgres.programs import FOLDER

from ..aks.conftest import Azure, running
from .conftest import PATIENCE_S, objects_of

Json = dict[str, Any]

CONTRIBUTOR = "ba92f5b4-2d11-453d-a403-e96b0029c9fe"
GROUP, PLURAL = "postgresql.cnpg.io", "clusters"
IMAGE = "ghcr.io/cloudnative-pg/postgresql:18.6-standard-trixie"
PLUGIN = "barman-cloud.cloudnative-pg.io"


def until(what: Callable[[], Any]) -> Any:
    ends = time.monotonic() + PATIENCE_S
    while not (found := what()):
        if time.monotonic() > ends:
            pytest.fail(f"not within {PATIENCE_S:.0f} s")
        time.sleep(0.1)
    return found


class Environment:
    """An AKS cluster with the operator and the plugin, an account, and an identity that may write to it."""

    def __init__(self, azure: Azure) -> None:
        self.azure = azure
        azure.resources.resource_groups.create_or_update(azure.group, {"location": azure.region})
        cluster = azure.create(
            oidcIssuerProfile={"enabled": True}, securityProfile={"workloadIdentity": {"enabled": True}}
        )
        self.issuer = cluster.oidc_issuer_profile.issuer_url
        group = f"/subscriptions/{azure.subscription}/resourceGroups/{azure.group}"
        self.account = f"{group}/providers/Microsoft.Storage/storageAccounts/acc1"
        body = {"location": azure.region, "kind": "StorageV2", "sku": {"name": "Standard_LRS"}}
        azure.raw("PUT", f"{self.account}?api-version=2025-08-01", body)
        azure.step(120)
        azure.raw("PUT", f"{self.account}/blobServices/default/containers/backups?api-version=2025-08-01", {})
        self.identity = azure.msi.user_assigned_identities.create_or_update(
            azure.group, "mi-pg", {"location": azure.region}
        )
        self.grant(self.identity.principal_id)
        self.grant(azure.facts["object_id"])
        azure.step(900)
        self._sign_in()
        for name in ("operator", "cert_manager", "plugin"):
            self.install(name)
        self.send("POST", "/api/v1/namespaces", {"metadata": {"name": "db"}})

    def _sign_in(self) -> None:
        access = self.azure.kubeconfig()
        self.server = access["clusters"][0]["cluster"]["server"]
        self.token = access["users"][0]["user"]["token"]

    def services(self) -> dict[str, str]:
        """Where the Services of the Clusters are on this machine, by name."""
        found = self.azure.control("GET", "/sandbox/postgres")["services"]
        return {path.rpartition("/")[2]: address for path, address in found.items()}

    def ask(self, service: str, sql: str, cluster: str = "pg") -> str:
        """Ask through a Service as the Cluster's application does; what psql prints, or why it failed."""
        secret = self.send("GET", f"/api/v1/namespaces/db/secrets/{cluster}-app")["data"]
        user, password = (base64.b64decode(secret[name]).decode() for name in ("username", "password"))
        address, _, port = self.services()[service].rpartition(":")
        conninfo = f"host={address} port={port} user={user} dbname=appdb sslmode=require connect_timeout=10"
        done = subprocess.run(
            [self.azure.facts["psql"], "-XAtqc", sql, conninfo],
            env={"PGPASSWORD": password},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        return done.stdout.strip() if done.returncode == 0 else f"failed: {done.stderr}"

    def grant(self, principal: str) -> None:
        definitions = (
            f"/subscriptions/{self.azure.subscription}/providers/Microsoft.Authorization/roleDefinitions"
        )
        given = {
            "roleDefinitionId": f"{definitions}/{CONTRIBUTOR}",
            "principalId": principal,
            "principalType": "ServicePrincipal",
        }
        path = f"{self.account}/providers/Microsoft.Authorization/roleAssignments/{uuid4()}"
        status, answer, _ = self.azure.raw("PUT", f"{path}?api-version=2022-04-01", {"properties": given})
        assert status == 201, answer

    def trust(self, account: str) -> None:
        properties = {
            "issuer": self.issuer,
            "subject": f"system:serviceaccount:db:{account}",
            "audiences": ["api://AzureADTokenExchange"],
        }
        self.azure.msi.federated_identity_credentials.create_or_update(
            self.azure.group, "mi-pg", f"fed-{account}", {"properties": properties}
        )
        self.azure.step(120)

    def send(self, method: str, path: str, body: Any = None, kind: str = "application/json") -> Any:
        headers = {"content-type": kind, "authorization": f"Bearer {self.token}"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.server}{path}", data, headers, method=method)
        with urllib.request.urlopen(request, context=self.azure._tls, timeout=60) as answer:
            return json.loads(answer.read())

    def install(self, name: str) -> None:
        for path, obj in objects_of(name):
            self.send("PATCH", f"{path}?fieldManager=test", obj, "application/apply-patch+yaml")
            if obj["kind"] == "CustomResourceDefinition":
                self.azure.step(2)
        self.azure.step(60)

    def make(self, plural: str, name: str, spec: Json, group: str = GROUP, **metadata: Any) -> None:
        kind = {"clusters": "Cluster", "backups": "Backup", "objectstores": "ObjectStore"}.get(plural)
        kind = kind or {"scheduledbackups": "ScheduledBackup", "databases": "Database"}[plural]
        obj = {
            "apiVersion": f"{group}/v1",
            "kind": kind,
            "metadata": {"name": name, **metadata},
            "spec": spec,
        }
        self.send("POST", f"/apis/{group}/v1/namespaces/db/{plural}", obj)

    def get(self, plural: str, name: str, group: str = GROUP) -> Json:
        found: Json = self.send("GET", f"/apis/{group}/v1/namespaces/db/{plural}/{name}")
        return found

    def condition(self, cluster: str, kind: str) -> Json:
        found = (self.get("clusters", cluster).get("status") or {}).get("conditions") or []
        return next((condition for condition in found if condition["type"] == kind), {})

    def blobs(self) -> list[str]:
        token = self.azure.credential.get_token("https://storage.azure.com/.default").token
        headers = {"authorization": f"Bearer {token}", "x-ms-version": "2025-05-05"}
        path = f"{self.azure.endpoint}/blob/acc1/backups?restype=container&comp=list"
        request = urllib.request.Request(path, headers=headers)
        with urllib.request.urlopen(request, context=self.azure._tls, timeout=60) as answer:
            text = answer.read().decode()
        return [part.partition("</Name>")[0] for part in text.split("<Name>")[1:]]


@pytest.fixture(scope="module")
def env(programs: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Environment]:
    if programs.barman is None:
        pytest.skip("no barman-cloud is installed: azure-sandbox postgres install")
    os.environ[FOLDER] = str(programs.folder)
    try:
        with running(tmp_path_factory.mktemp("azure") / "state", "--postgres", str(programs.folder)) as facts:
            azure = Azure(facts)
            azure.set(
                spontaneous_operations=False, autoscaler=False, durations={"aks_cluster_create_answer": 0}
            )
            azure.control("POST", "/sandbox/clock", {"speed": 60})
            yield Environment(azure)
            azure.close()
    finally:
        os.environ[FOLDER] = "off"


def cluster_spec(env: Environment, server: str, instances: int = 1) -> Json:
    return {
        "instances": instances,
        "imageName": IMAGE,
        "storage": {"size": "1Gi"},
        "bootstrap": {"initdb": {"database": "appdb", "owner": "app"}},
        "inheritedMetadata": {"labels": {"azure.workload.identity/use": "true"}},
        "serviceAccountTemplate": {
            "metadata": {"annotations": {"azure.workload.identity/client-id": env.identity.client_id}}
        },
        "plugins": [
            {
                "name": PLUGIN,
                "isWALArchiver": True,
                "parameters": {"barmanObjectName": "store", "serverName": server},
            }
        ],
    }


STORE: Json = {
    "configuration": {
        "destinationPath": "https://acc1.blob.core.windows.net/backups",
        "azureCredentials": {"inheritFromAzureAD": True},
        "wal": {"compression": "gzip"},
        "data": {"compression": "gzip", "immediateCheckpoint": True},
    },
    "retentionPolicy": "7d",
}


@pytest.fixture(scope="module")
def archived(env: Environment) -> Environment:
    env.trust("pg")
    env.make("objectstores", "store", STORE, "barmancloud.cnpg.io")
    env.make("clusters", "pg", cluster_spec(env, "pg-1", 2))
    # Barman asks for a token for a minute and a half before it gives up, while the other tests run.
    env.trust("bare")
    bare = cluster_spec(env, "bare-1", 2)
    del bare["inheritedMetadata"]
    env.make("clusters", "bare", bare)
    # The copy for the second instance closes a segment of the first.
    until(lambda: env.condition("pg", "ContinuousArchiving").get("status") == "True")
    return env


def test_wal_reaches_the_account_with_a_token_of_the_pods_own_service_account(archived: Environment) -> None:
    assert any(name.startswith("pg-1/wals/0000000100000000/") for name in archived.blobs())
    tokens = [
        entry for entry in archived.azure.ledger(service="entra", operation="Token") if entry["status"] == 200
    ]
    assert any("client_assertion" in (entry["body"] or {}) for entry in tokens)
    until(lambda: archived.get("clusters", "pg")["status"]["phase"] == "Cluster in healthy state")


def test_a_backup_is_in_the_account_before_it_is_completed(archived: Environment) -> None:
    archived.make(
        "backups",
        "first",
        {"cluster": {"name": "pg"}, "method": "plugin", "pluginConfiguration": {"name": PLUGIN}},
    )

    def ended() -> Json | None:
        status: Json = archived.get("backups", "first").get("status") or {}
        return status if status.get("phase") in ("completed", "failed") else None

    status = until(ended)
    assert status["phase"] == "completed", status
    base = f"pg-1/base/{status['backupId']}"
    assert {f"{base}/backup.info", f"{base}/data.tar.gz"} <= set(archived.blobs())
    window = archived.get("objectstores", "store", "barmancloud.cnpg.io")["status"]["serverRecoveryWindow"][
        "pg-1"
    ]
    assert window["firstRecoverabilityPoint"] == window["lastSuccessfulBackupTime"]
    assert archived.condition("pg", "LastBackupSucceeded")["status"] == "True"
    assert "PutBlockList" in {entry["operation"] for entry in archived.azure.ledger(service="blob")}


def test_a_new_cluster_begins_with_the_data_of_a_backup(archived: Environment) -> None:
    archived.trust("copy")
    spec = cluster_spec(archived, "copy-1")
    parameters = {"barmanObjectName": "store", "serverName": "pg-1"}
    spec["bootstrap"] = {"recovery": {"source": "origin"}}
    spec["externalClusters"] = [{"name": "origin", "plugin": {"name": PLUGIN, "parameters": parameters}}]
    archived.make("clusters", "copy", spec)
    until(
        lambda: (
            (archived.get("clusters", "copy").get("status") or {}).get("phase") == "Cluster in healthy state"
        )
    )
    status, origin = (archived.get("clusters", name)["status"] for name in ("copy", "pg"))
    assert status["systemID"] == origin["systemID"]
    assert status["timelineID"] == origin["timelineID"] + 1


def test_a_used_archive_is_refused(archived: Environment) -> None:
    """https://cloudnative-pg.io/documentation/current/recovery/#restoring-into-a-cluster-with-a-backup-section"""
    archived.trust("second")
    archived.make("clusters", "second", cluster_spec(archived, "pg-1", 2))
    found = until(lambda: archived.condition("second", "ContinuousArchiving"))
    assert (found["status"], found["reason"]) == ("False", "ContinuousArchivingFailing")
    assert "Expected empty archive" in found["message"]


def test_an_immediate_schedule_makes_a_backup_at_once(archived: Environment) -> None:
    spec = {
        "cluster": {"name": "pg"},
        "schedule": "0 15 2 * * *",
        "immediate": True,
        "backupOwnerReference": "self",
        "method": "plugin",
        "pluginConfiguration": {"name": PLUGIN},
    }
    archived.make("scheduledbackups", "daily", spec)

    def made() -> list[Json]:
        found = archived.send("GET", f"/apis/{GROUP}/v1/namespaces/db/backups")["items"]
        return [backup for backup in found if backup["metadata"]["name"].startswith("daily-")]

    (backup,) = until(made)
    assert backup["metadata"]["ownerReferences"][0]["kind"] == "ScheduledBackup"
    assert until(lambda: archived.get("scheduledbackups", "daily").get("status"))["nextScheduleTime"]


def test_a_pod_without_the_webhooks_label_gets_no_identity_and_archives_nothing(
    archived: Environment,
) -> None:
    """https://learn.microsoft.com/azure/aks/workload-identity-overview#pod-labels"""
    found = until(lambda: archived.condition("bare", "ContinuousArchiving"))
    assert (found["status"], found["reason"]) == ("False", "ContinuousArchivingFailing")
    (container,) = archived.send("GET", "/api/v1/namespaces/db/pods/bare-1")["spec"]["containers"]
    assert not [variable for variable in container["env"] if variable["name"].startswith("AZURE_")]
    assert not [name for name in archived.blobs() if name.startswith("bare-1/")]


def test_in_tree_backups_go_to_the_same_place(archived: Environment) -> None:
    archived.trust("tree")
    spec = cluster_spec(archived, "unused")
    del spec["plugins"]
    spec["backup"] = {"barmanObjectStore": {**STORE["configuration"], "serverName": "tree-1"}}
    archived.make("clusters", "tree", spec)
    archived.make("backups", "tree", {"cluster": {"name": "tree"}})

    def ended() -> Json | None:
        status: Json = archived.get("backups", "tree").get("status") or {}
        return status if status.get("phase") in ("completed", "failed") else None

    status = until(ended)
    assert (status["phase"], status["method"]) == ("completed", "barmanObjectStore"), status
    assert f"tree-1/base/{status['backupId']}/backup.info" in archived.blobs()
    assert archived.get("clusters", "tree")["status"]["lastSuccessfulBackup"]
