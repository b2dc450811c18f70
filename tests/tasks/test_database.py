"""The steps of a database as far as they go without PostgreSQL: what they make, refuse and leave alone."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import requests

from aks_postgres.arm.errors import LastingState, NotOurs
from aks_postgres.errors import ImmutableChange
from aks_postgres.kubernetes.client import kubernetes_api
from aks_postgres.kubernetes.objects import served
from aks_postgres.preflight.database_check import judge_database
from aks_postgres.preflight.findings import FINE
from aks_postgres.runs.session import run_session
from aks_postgres.spec.environment import EnvironmentSpec
from aks_postgres.tasks.database import components
from aks_postgres.tasks.database.alerts import ensure_database_alerts
from aks_postgres.tasks.database.backups import ensure_object_store
from aks_postgres.tasks.database.components import (
    ensure_barman_plugin,
    ensure_cert_manager,
    ensure_operator_settings,
)
from aks_postgres.tasks.database.credential import (
    ensure_database_account,
    ensure_database_credential,
    verify_database_credential,
)
from aks_postgres.tasks.database.dashboard import ensure_database_dashboard
from aks_postgres.tasks.database.postgres_cluster import (
    ensure_database_storage_class,
    ensure_postgres_cluster,
    refuse_unmade_roles,
)
from aks_postgres.tasks.database.secret import ensure_app_secret
from aks_postgres.tasks.database.status import read_databases
from aks_postgres.tear_down.archive_check import Archive
from aks_postgres.tear_down.archives import read_archives
from aks_postgres.tear_down.live_data import Wanted

from .conftest import world_with
from .kube import Kube
from .resources import STEPS
from .world import Step, World

NAMESPACE = "/api/v1/namespaces/cnpg-database"
CLUSTERS = "/apis/postgresql.cnpg.io/v1/namespaces/cnpg-database/clusters"
DATABASE_STEPS = STEPS | {
    "secret": Step(ensure_app_secret, ("spec", "cluster", "namespaces")),
    "storage_class": Step(ensure_database_storage_class, ("spec", "cluster", "namespaces")),
    "settings": Step(ensure_operator_settings, ("spec", "cluster", "namespaces")),
    "credential": Step(
        ensure_database_credential, ("spec", "place", "resource_group", "identity", "cluster")
    ),
    "account": Step(ensure_database_account, ("spec", "place", "cluster", "namespaces", "identity")),
    "proof": Step(
        verify_database_credential,
        ("spec", "place", "cluster", "credential", "storage_account"),
        after=("account", "blob_roles", "container"),
    ),
    "cert_manager": Step(ensure_cert_manager, ("spec", "cluster", "namespaces")),
    "plugin": Step(ensure_barman_plugin, ("spec", "cluster", "operator", "cert_manager")),
    "alerts": Step(ensure_database_alerts, ("spec", "place", "cluster", "monitor_workspace")),
    "dashboard": Step(
        ensure_database_dashboard, ("spec", "place", "grafana", "grafana_roles", "monitor_workspace")
    ),
    "store": Step(ensure_object_store, ("spec", "place", "cluster", "plugin", "storage_account")),
    "postgres": Step(
        ensure_postgres_cluster,
        ("spec", "place", "cluster", "identity", "storage_class", "secret"),
        after=("operator",),
    ),
}


def components_of(world: World) -> dict[str, str]:
    described = world.azure.description
    return {
        f"{name}_manifest_{part}": described[f"{name}_manifest_{part}"]
        for name in ("cert_manager", "plugin")
        for part in ("url", "sha256")
    }


def with_database(world: World, other: Any = None, **database: Any) -> World:
    """The same environment with a database in its spec."""
    found = world_with(world, database={"components": components_of(world), **database}, **(other or {}))
    found.steps = DATABASE_STEPS
    return found


@pytest.fixture
def database(world: World) -> World:
    """The default environment with a default database, of which nothing exists yet."""
    return with_database(world)


async def test_everything_is_made_once(database: World, tmp_path: Path) -> None:
    names = [name for name in DATABASE_STEPS if name not in STEPS]
    await database.prepare(*names)
    made = [name for name in names if database.made[name].change.kind == "created"]
    assert set(names) - set(made) == {"storage_class", "proof"}  # AKS's own; a proof makes nothing
    for name in names:
        if name != "proof":  # the pods' token is asked for until the Postgres cluster archives
            again = await database.run(name)
            assert (again.change.kind, database.writes()) == ("unchanged", []), name
    kube = Kube(database, tmp_path)
    secret = kube.get(f"{NAMESPACE}/secrets/db-user-pass")
    assert secret is not None
    assert secret["type"] == "kubernetes.io/basic-auth"
    live = kube.get(f"{CLUSTERS}/{database.place.names.postgres_cluster}")
    assert live is not None
    # The operator that runs already is told of other settings by a restart.
    kube.merge(
        "/api/v1/namespaces/cnpg-system/configmaps/cnpg-controller-manager-config",
        {"data": {"CLUSTERS_ROLLOUT_DELAY": "1"}},
    )
    assert (await database.run("settings")).change.kind == "updated"
    template = kube.get("/apis/apps/v1/namespaces/cnpg-system/deployments/cnpg-controller-manager")
    assert template is not None
    assert components.SETTINGS_FOR in template["spec"]["template"]["metadata"]["annotations"]
    assert (await database.run("operator")).change.kind == "unchanged"


OPERATOR = "/apis/apps/v1/namespaces/cnpg-system/deployments/cnpg-controller-manager"
SETTINGS = "/api/v1/namespaces/cnpg-system/configmaps/cnpg-controller-manager-config"


async def killed(*_: Any, **__: Any) -> None:
    raise LastingState("a run", "was killed", "Run again.")


@pytest.mark.parametrize("is_first", [True, False], ids=["made", "changed"])
async def test_an_operator_that_ran_when_its_settings_were_written_is_restarted_by_the_next_run(
    database: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_first: bool
) -> None:
    """The run that wrote them was killed before it came to that; whatever second of Kubernetes' clock that was in."""
    await database.prepare("operator")
    kube = Kube(database, tmp_path)
    if not is_first:
        await database.run("settings")
        kube.merge(SETTINGS, {"data": {"CLUSTERS_ROLLOUT_DELAY": "1"}})
    with monkeypatch.context() as patch:
        patch.setattr(components, "restart_operator", killed)
        with pytest.raises(LastingState, match="was killed"):
            await database.run("settings")
    # As if all of the operator's pods had started in the very second.
    written = max(one["time"] for one in (kube.get(SETTINGS) or {})["metadata"]["managedFields"])
    pod = {"metadata": {"name": "operator", "creationTimestamp": written}}
    database.azure.fault(
        {"status": 200, "raw_body": json.dumps({"kind": "PodList", "items": [pod]})},
        path="/api/v1/namespaces/cnpg-system/pods",
        times=9,
    )
    restarted = await database.run("settings")
    assert [one.new for one in restarted.change.fields] == ["restarted"]
    template = (kube.get(OPERATOR) or {})["spec"]["template"]
    assert components.SETTINGS_FOR in template["metadata"]["annotations"]
    again = await database.run("settings")
    assert (again.change.kind, database.writes()) == ("unchanged", [])


async def test_an_operator_that_has_read_its_settings_is_left_alone(database: World, tmp_path: Path) -> None:
    await database.run("settings")  # Before it is installed.
    await database.prepare("operator")
    kube = Kube(database, tmp_path)
    assert (await database.run("settings")).change.kind == "unchanged"
    kube.merge(SETTINGS, {"data": {"WATCH_NAMESPACE": "cnpg-database"}})  # Somebody else's.
    assert (await database.run("settings")).change.kind == "unchanged"
    kube.merge(SETTINGS, {"data": {"CLUSTERS_ROLLOUT_DELAY": "1"}})
    changed = await database.run("settings")
    assert [one.field for one in changed.change.fields] == [
        "ConfigMap cnpg-controller-manager-config: data.CLUSTERS_ROLLOUT_DELAY"
    ]
    restart = {"kubectl.kubernetes.io/restartedAt": "2026-11-29T02:15:07Z"}  # Somebody else's, too.
    kube.merge(OPERATOR, {"spec": {"template": {"metadata": {"annotations": restart}}}})
    assert (await database.run("settings")).change.kind == "unchanged"
    assert database.writes() == []


@pytest.mark.parametrize(
    "conditions",
    [None, {}, {"NamesAccepted": "True"}, {"Established": "False"}, {"Established": "Unknown"}],
)
def test_a_definition_that_is_only_there_isnt_served_yet(conditions: dict[str, str] | None) -> None:
    """https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/"""
    stated = [{"type": kind, "status": status} for kind, status in (conditions or {}).items()]
    definition = {"kind": "CustomResourceDefinition", "status": {"conditions": stated}}
    assert served(None if conditions is None else definition) is None
    stated.append({"type": "Established", "status": "True"})
    assert served(definition) is definition


async def test_a_database_that_isnt_ready_is_seen_as_that(database: World) -> None:
    await database.prepare("operator")
    names = database.place.names
    async with run_session(database.spec, read_only=True) as run:
        assert await read_databases(run.azure, names) == ()
    await database.prepare("store", "postgres")
    async with run_session(database.spec, read_only=True) as run:
        (found,) = await read_databases(run.azure, names)
    assert (found.cluster, found.instances, found.owner) == (names.postgres_cluster, 3, "app")
    assert found.backups == f"https://{names.storage_account}.blob.core.windows.net/backups/{found.cluster}-1"
    assert "0 of 3 instances are ready" in found.problems[0]
    assert "WAL isn't archived (nothing is said of it)" in found.problems[1]
    assert found.problems[2].endswith("no backup is known")


async def test_each_role_gets_a_password_of_its_own_once(database: World, tmp_path: Path) -> None:
    await database.prepare("secret")
    more = with_database(database, roles=[{"name": "reader"}, {"name": "writer"}])
    made = await more.run("secret")
    assert [one.field for one in made.change.fields] == ["Secret db-role-reader", "Secret db-role-writer"]
    kube = Kube(more, tmp_path)
    found = [kube.get(f"{NAMESPACE}/secrets/{name}") or {} for name in ("db-role-reader", "db-role-writer")]
    assert [one["type"] for one in found] == ["kubernetes.io/basic-auth"] * 2
    assert found[0]["data"]["password"] != found[1]["data"]["password"]
    every = [*found, kube.get(f"{NAMESPACE}/secrets/db-user-pass") or {}]
    assert not any("cnpg.io/passwordPassthrough" in str(one["metadata"]) for one in every)
    assert ((await more.run("secret")).change.kind, more.writes()) == ("unchanged", [])


def test_a_role_that_the_operator_cant_make_is_named_with_its_words() -> None:
    spec = EnvironmentSpec.model_validate({"database": {"roles": [{"name": "reader"}]}})
    refuse_unmade_roles({}, spec)
    refuse_unmade_roles(
        {"status": {"managedRolesStatus": {"cannotReconcile": {"other": ["not ours"]}}}}, spec
    )
    with pytest.raises(LastingState, match="role reader can't be made: role pg_nobody does not exist"):
        refuse_unmade_roles(
            {
                "status": {
                    "managedRolesStatus": {"cannotReconcile": {"reader": ["role pg_nobody does not exist"]}}
                }
            },
            spec,
        )


async def test_a_parameter_that_the_spec_has_no_more_is_taken_away(database: World, tmp_path: Path) -> None:
    more = with_database(database, parameters={"max_connections": "300"})
    await more.prepare("postgres")
    more.steps = DATABASE_STEPS
    fewer = with_database(more)
    changed = await fewer.run("postgres")
    assert [(one.field.partition(": ")[2], one.new) for one in changed.change.fields] == [
        ("spec.postgresql.parameters.max_connections", None)
    ]
    live = Kube(fewer, tmp_path).get(f"{CLUSTERS}/{fewer.place.names.postgres_cluster}")
    assert live is not None
    assert "max_connections" not in live["spec"]["postgresql"]["parameters"]


async def test_a_volume_that_would_shrink_is_refused(database: World) -> None:
    await database.prepare("postgres")
    smaller = with_database(database, storage={"size_gib": 32})
    with pytest.raises(
        ImmutableChange, match=r"database\.storage\.size_gib is '64Gi' and the spec wants '32Gi'"
    ):
        await smaller.run("postgres")
    assert smaller.writes() == []
    # So does the preflight, before anything else of a run is written.
    live = smaller.read(smaller.made["cluster"].id, "2026-06-01")
    async with run_session(smaller.spec, read_only=True) as run:
        verdict = await judge_database(run.azure, smaller.spec, smaller.place, live)
        assert [text.partition(":")[0] for text in verdict.problems] == ["database.storage.size_gib"]
        assert await judge_database(run.azure, database.spec, database.place, live) == FINE
    # Nobody looked, and that isn't well: a Reader gets no credential for the cluster.
    refused = {"status": 403, "code": "AuthorizationFailed", "message": "no"}
    database.azure.fault(refused, operation="ManagedClusters_ListCluster(User|Admin)Credentials", times=None)
    async with run_session(smaller.spec, read_only=True) as run:
        verdict = await judge_database(run.azure, smaller.spec, smaller.place, live)
    (text,) = verdict.warnings
    assert verdict.problems == ()
    assert text.startswith("database: what is there wasn't compared with it: ")
    assert "AuthorizationFailed" in text


async def test_somebody_else_s_objects_are_left_alone(database: World, tmp_path: Path) -> None:
    await database.prepare("operator")
    kube = Kube(database, tmp_path)
    name = database.place.names.postgres_cluster
    metadata = {"name": name, "namespace": "cnpg-database"}
    storage = {"instances": 1, "storage": {"size": "1Gi"}}
    kube.create(
        CLUSTERS,
        {"apiVersion": "postgresql.cnpg.io/v1", "kind": "Cluster", "metadata": metadata, "spec": storage},
    )
    with pytest.raises(NotOurs, match="was made by somebody else"):
        await database.run("postgres")
    kube.delete(f"{NAMESPACE}/secrets/db-user-pass")
    kube.create(
        f"{NAMESPACE}/secrets",
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "db-user-pass"}, "type": "Opaque"},
    )
    with pytest.raises(LastingState, match=r"is of type Opaque, .* takes kubernetes.io/basic-auth"):
        await database.run("secret")


async def test_backups_are_looked_at_in_the_pods_name_where_the_run_itself_may_not(database: World) -> None:
    """By a run that writes nothing, such as tear-down's plan; the run has no role on blobs."""
    await database.prepare("proof")
    account, names = database.made["storage_account"], database.place.names
    public = f"https://{names.storage_account}.blob.core.windows.net/"
    wanted = Wanted(
        "cnpg-database", names.postgres_cluster, f"{public}backups", "shop-1", ("20261124T115000",)
    )
    other = replace(wanted, cluster="other")
    ways = {public: account.blob_endpoint}
    tenant = database.place.tenant_id
    async with (
        run_session(database.spec, read_only=True) as run,
        kubernetes_api(run.azure, names.resource_group, names.cluster) as api,
    ):
        found = await read_archives(api, [wanted, other], ways, tenant)
    assert found[wanted] == Archive()
    assert "the run itself: HTTP 403 AuthorizationPermissionMismatch" in found[other].unread
    assert "ServiceAccount cnpg-database/other names no identity" in found[other].unread


async def test_a_wrong_subject_is_told_by_azure_s_words_before_anything_waits(database: World) -> None:
    await database.prepare("credential", "account", "container", "blob_roles")
    credential = database.made["credential"]
    api = "2024-11-30"
    database.change(credential.id, api, {"properties.subject": "system:serviceaccount:other:one"})
    with pytest.raises(LastingState) as refused:
        await database.run("proof")
    text = str(refused.value)
    assert "No matching federated identity record" in text
    assert credential.subject in text
    assert "Compare: the pods' tokens come from" in text
    database.change(credential.id, api, {"properties.subject": credential.subject})
    assert (await database.run("proof")).facts


async def test_an_archive_that_another_cluster_used_is_refused_before_there_is_a_cluster(
    world: World,
) -> None:
    owner = {"object_id": world.azure.object_id, "type": "ServicePrincipal"}
    database = with_database(world, {"storage": {"blob_owners": [owner]}})
    await database.prepare("proof")
    assert database.made["proof"].facts
    wal = f"{database.place.names.postgres_cluster}-1/wals/0000000100000000/000000010000000000000001.gz"
    put = requests.put(
        f"{database.made['storage_account'].blob_endpoint}backups/{wal}",
        data=b"x",
        headers={
            "authorization": f"Bearer {world.azure.token('https://storage.azure.com/.default')}",
            "x-ms-blob-type": "BlockBlob",
            "x-ms-version": "2023-11-03",
        },
        verify=world.azure.description["ca_file"],
        timeout=30,
    )
    assert put.status_code == 201, put.text
    with pytest.raises(LastingState, match="holds backups already"):
        await database.run("proof")
