"""What the operator says, read: an unknown phase isn't healthy, and silence isn't good."""

import json
from typing import Any

import pytest

from aks_postgres.database.limits import bytes_of, impossible
from aks_postgres.database.status import ClusterState, Held, left_to_restart, used_archive, without_identity

Json = dict[str, Any]

READY: Json = {
    "spec": {"instances": 3},
    "status": {
        "phase": "Cluster in healthy state",
        "readyInstances": 3,
        "currentPrimary": "pg-1",
        "targetPrimary": "pg-1",
        "conditions": [{"type": "ContinuousArchiving", "status": "True", "message": "working"}],
    },
}


def ready_but(**status: Any) -> ClusterState:
    return ClusterState.of({**READY, "status": {**READY["status"], **status}})


def test_a_healthy_cluster_is_ready() -> None:
    state = ClusterState.of(READY)
    assert state.is_ready
    assert state.archives


@pytest.mark.parametrize(
    "status",
    [
        {"phase": "Cluster in a state of tomorrow"},
        {"phase": "Switchover in progress"},
        {"readyInstances": 2},
        {"readyInstances": None},
        {"targetPrimary": "pending"},
        {"currentPrimary": None, "targetPrimary": None},
    ],
)
def test_anything_else_is_not_ready(status: Json) -> None:
    assert not ready_but(**status).is_ready


def test_nothing_said_is_neither_ready_nor_archiving() -> None:
    state = ClusterState.of({})
    assert not state.is_ready
    assert not state.archives
    assert state.archiving_problem == ""
    assert "hasn't said anything" in str(state)


def test_archiving_that_fails_says_why() -> None:
    state = ready_but(
        conditions=[{"type": "ContinuousArchiving", "status": "False", "message": "Expected empty archive"}]
    )
    assert not state.archives
    assert used_archive(state.archiving_problem)
    assert "ContinuousArchiving is False: Expected empty archive" in str(state)


@pytest.mark.parametrize(
    "phase",
    [
        "Cluster is unrecoverable and needs manual intervention",
        "Invalid cluster definition",
        "Cluster has incomplete or invalid image catalog",
    ],
)
def test_a_phase_that_no_waiting_ends_has_a_way_out(phase: str) -> None:
    assert ready_but(phase=phase).lasting


def test_a_missing_plugin_passes_at_first() -> None:
    phase = "Cluster cannot proceed to reconciliation due to an unknown plugin being required"
    state = ready_but(phase=phase)
    assert state.lasting is None
    assert state.passing is not None
    assert "barman-cloud" in state.passing


HELD = [
    ({"cnpg.io/hibernation": "on"}, "is hibernated", "cnpg.io/hibernation=off"),
    ({"cnpg.io/fencedInstances": '["pg-1", "pg-2"]'}, "fenced (pg-1, pg-2)", "cnpg.io/fencedInstances-"),
    ({"cnpg.io/fencedInstances": '["*"]'}, "fenced (all instances)", "cnpg.io/fencedInstances-"),
    # The operator refuses to work on what it can't read.
    ({"cnpg.io/fencedInstances": "pg-1"}, "fenced (pg-1)", "cnpg.io/fencedInstances-"),
    ({"cnpg.io/fencedInstances": '{"pg-1": 1}'}, "is fenced", "cnpg.io/fencedInstances-"),
    ({"cnpg.io/reconciliationLoop": "disabled"}, "is paused", "cnpg.io/reconciliationLoop-"),
]


@pytest.mark.parametrize(("annotations", "words", "annotation"), HELD)
def test_what_a_person_told_the_operator_to_leave_alone_is_told(
    annotations: Json, words: str, annotation: str
) -> None:
    held = Held.of({"metadata": {"annotations": annotations}})
    assert held is not None
    assert words in held.what
    assert f"-n db annotate cluster pg --overwrite {annotation}" in held.way_out("db", "pg")


@pytest.mark.parametrize(
    "annotations",
    [
        None,
        7,
        {},
        {"cnpg.io/hibernation": "off"},
        {"cnpg.io/fencedInstances": "[]"},
        {"cnpg.io/fencedInstances": ""},
        {"cnpg.io/reconciliationLoop": "enabled"},
    ],
    ids=repr,
)
def test_a_cluster_that_nobody_stopped_is_not_held(annotations: Any) -> None:
    assert Held.of({"metadata": {"annotations": annotations}}) is None


def pod(name: str, *variables: str) -> Json:
    sidecar = {
        "name": "plugin-barman-cloud",
        "env": [{"name": variable, "value": "x"} for variable in variables],
    }
    return {
        "metadata": {"name": name},
        "spec": {"initContainers": [sidecar], "containers": [{"name": "postgres"}]},
    }


def test_a_pod_that_the_webhook_missed_is_named_with_what_it_lacks() -> None:
    whole = ("AZURE_AUTHORITY_HOST", "AZURE_CLIENT_ID", "AZURE_FEDERATED_TOKEN_FILE", "AZURE_TENANT_ID")
    pods = [pod("pg-1", *whole), pod("pg-2"), pod("pg-3", *whole[1:])]
    assert without_identity(pods) == {"pg-2": whole, "pg-3": ("AZURE_AUTHORITY_HOST",)}


# What can't be changed on a database that is there.

LIVE: Json = {
    "metadata": {"name": "pg"},
    "spec": {
        "storage": {"size": "64Gi", "storageClass": "managed-csi-premium"},
        "walStorage": {"size": "20Gi"},
        "bootstrap": {"initdb": {"database": "appdb", "owner": "app"}},
        "imageCatalogRef": {"major": 18},
    },
}


def wanted(**spec: Any) -> Json:
    return {"metadata": {"name": "pg"}, "spec": {**LIVE["spec"], **spec}}


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"storage": {"size": "32Gi", "storageClass": "managed-csi-premium"}}, "database.storage.size_gib"),
        ({"storage": {"size": "64Gi", "storageClass": "premium2-disk-sc"}}, "database.storage.storage_class"),
        ({"walStorage": {"size": "19Gi"}}, "database.storage.wal_size_gib"),
        ({"walStorage": None}, "database.storage.wal_size_gib"),
        ({"bootstrap": {"initdb": {"database": "shop", "owner": "app"}}}, "database.databases"),
        ({"bootstrap": {"initdb": {"database": "appdb", "owner": "shop"}}}, "database.owner"),
        ({"imageCatalogRef": {"major": 17}}, "database.postgres_version"),
    ],
)
def test_what_would_lose_data_or_needs_another_cluster_is_named_by_its_field(spec: Json, field: str) -> None:
    assert [one.field for one in impossible(LIVE, wanted(**spec))] == [field]


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"storage": {"size": "65536Mi", "storageClass": "managed-csi-premium"}},
        {"storage": {"size": "1Ti", "storageClass": "managed-csi-premium"}},
    ],
)
def test_growing_is_possible(spec: Json) -> None:
    assert impossible(LIVE, wanted(**spec)) == []


def test_a_volume_for_wal_can_come_later() -> None:
    live = {**LIVE, "spec": {key: value for key, value in LIVE["spec"].items() if key != "walStorage"}}
    assert impossible(live, wanted()) == []


@pytest.mark.parametrize(
    ("quantity", "wanted"),
    [("1Gi", 2**30), ("1.5Gi", 3 * 2**29), ("1k", 1000), ("7", 7), ("1e9", 10**9), ("1Pi", 2**50)]
    + [(odd, None) for odd in ("much", "", "NaN", None)],
)
def test_quantities_are_bytes(quantity: str | None, wanted: int | None) -> None:
    assert bytes_of(quantity) == wanted


CATALOG: Json = {"spec": {"images": [{"major": 17, "image": "pg:17.9"}, {"major": 18, "image": "pg:18.6"}]}}
CHANGED: Json = {
    "spec": {
        "imageCatalogRef": {"major": 18},
        "resources": {kind: {"cpu": "2", "memory": "8Gi"} for kind in ("requests", "limits")},
        "walStorage": {"size": "8Gi"},
    }
}


def pod_of(
    name: str, *, image: str = "pg:18.6", cpu: str = "2", claims: tuple[str, ...] = ("", "-wal")
) -> Json:
    """A pod of an instance as the operator makes it."""
    resources = {kind: {"cpu": cpu, "memory": "8192Mi"} for kind in ("requests", "limits")}
    spec = {
        "containers": [{"name": "postgres", "image": image, "resources": resources}],
        "volumes": [{"persistentVolumeClaim": {"claimName": f"{name}{claim}"}} for claim in claims]
        + [{"name": "scratch", "emptyDir": {}}],
    }
    return {"metadata": {"name": name, "annotations": {"cnpg.io/podSpec": json.dumps(spec)}}, "spec": spec}


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"image": "pg:18.5"}, "has image pg:18.5"),
        ({"cpu": "1"}, "has other resources"),
        ({"claims": ("",)}, "has no volume for its WAL"),
    ],
)
def test_an_instance_that_is_still_to_be_restarted_is_seen(fields: Json, says: str) -> None:
    pods = [pod_of("pg-1"), pod_of("pg-2", **fields)]
    assert left_to_restart(pods, CHANGED, CATALOG) == {"pg-2": says}
    (restarted, _) = pods
    assert left_to_restart([restarted], CHANGED, CATALOG) == {}


def test_what_others_make_of_a_pod_is_no_change_of_the_cluster() -> None:
    """A registry's mirror, an autoscaler: the operator goes by what it made the pod as, and so do we."""
    mirrored = pod_of("pg-1")
    mirrored["spec"] = pod_of("pg-1", image="mirror.example/pg:18.6", cpu="3")["spec"]
    assert left_to_restart([mirrored], CHANGED, CATALOG) == {}
    for annotation in ("", "nonsense", "[]"):
        mirrored["metadata"]["annotations"]["cnpg.io/podSpec"] = annotation
        assert left_to_restart([mirrored], CHANGED, CATALOG) == {"pg-1": "has image mirror.example/pg:18.6"}


@pytest.mark.parametrize("catalog", [{}, {"spec": None}, {"spec": {"images": [None, {"major": 17}]}}])
def test_a_catalog_without_the_major_says_nothing_of_pods(catalog: Json) -> None:
    assert left_to_restart([pod_of("pg-1", image="pg:17.9")], CHANGED, catalog) == {}
