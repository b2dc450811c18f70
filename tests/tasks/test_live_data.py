"""Whether a cluster's data could be got back: data in, words out."""

import copy
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from aks_postgres.tear_down.archive_check import Archive
from aks_postgres.tear_down.live_data import ClusterData, archives_of, judge_data

from .archives import BACKUP_ID, ENDED, SYSTEM_ID, whole_archive

Json = dict[str, Any]

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
NODES = "rg-nodes"
OWN = "https://hacnpgpsa00000000.blob.core.windows.net/"
ELSEWHERE = "https://elsewhere0001.blob.core.windows.net/backups"
ENDPOINT = "https://elsewhere0001.blob.core.windows.net"
PLUGIN = "barman-cloud.cloudnative-pg.io"
OWNER = {
    "apiVersion": "postgresql.cnpg.io/v1",
    "kind": "Cluster",
    "name": "pg",
    "uid": "uid-pg",
    "controller": True,
}


def metadata(name: str, namespace: str = "db", **more: Any) -> Json:
    return {"name": name, "namespace": namespace, **more}


def cluster(
    archiving: str | None = "True", created: str = "2026-11-01T00:00:00Z", path: Any = ELSEWHERE
) -> Json:
    conditions = [{"type": "Ready", "status": "True"}]
    if archiving:
        conditions.append({"type": "ContinuousArchiving", "status": archiving, "message": "barman says no"})
    plugin = {"name": PLUGIN, "parameters": {"barmanObjectName": "store"}}
    return {
        "metadata": metadata("pg", creationTimestamp=created, uid="uid-pg"),
        "spec": {"backup": {"barmanObjectStore": {"destinationPath": path}}, "plugins": [plugin]},
        "status": {
            "conditions": conditions,
            "systemID": SYSTEM_ID,
            "currentPrimary": "pg-1",
            "targetPrimary": "pg-1",
            "instancesStatus": {"healthy": ["pg-1", "pg-2"], "failed": ["pg-3"]},
        },
    }


def object_store(path: Any = ELSEWHERE, name: str = "store", namespace: str = "db", **more: Any) -> Json:
    return {
        "metadata": metadata(name, namespace),
        "spec": {"configuration": {"destinationPath": path, **more}},
        "status": {
            "serverRecoveryWindow": {
                "pg": {"firstRecoverabilityPoint": ENDED, "lastSuccessfulBackupTime": ENDED}
            }
        },
    }


def backup(
    minutes: int = 10, *, name: str = "pg", namespace: str = "db", method: str = "", **status: Any
) -> Json:
    stopped = (NOW - timedelta(minutes=minutes)).isoformat().replace("+00:00", "Z")
    spec: Json = {"cluster": {"name": name}} | ({"method": method} if method else {})
    if method == "plugin":
        spec["pluginConfiguration"] = {"name": PLUGIN}
    # The operator writes where an in-tree backup went; of a plugin's, its ObjectStore says it.
    went = {} if method == "plugin" else {"destinationPath": ELSEWHERE, "endpointURL": ENDPOINT}
    return {
        "metadata": metadata("b", namespace),
        "spec": spec,
        "status": {"phase": "completed", "stoppedAt": stopped, "backupId": BACKUP_ID} | went | status,
    }


def claim(name: str = "pg-1", namespace: str = "db", owners: Any = (OWNER,), **labels: str) -> Json:
    return {
        "metadata": metadata(name, namespace, labels=labels, uid=f"uid-{name}", ownerReferences=list(owners)),
        "spec": {"resources": {"requests": {"storage": "8Gi"}}},
    }


def volume(claimed_by: str | None = None, group: str = NODES, **spec: Any) -> Json:
    handle = f"/subscriptions/s/resourceGroups/{group}/providers/Microsoft.Compute/disks/pvc-1"
    return {
        "metadata": {"name": "pvc-1"},
        "spec": {
            "capacity": {"storage": "8Gi"},
            "persistentVolumeReclaimPolicy": "Retain",
            "claimRef": {"name": "pg-1", "namespace": "db", "uid": claimed_by},
            "csi": {"driver": "disk.csi.azure.com", "volumeHandle": handle},
        }
        | spec,
        "status": {"phase": "Bound" if claimed_by else "Released"},
    }


def judged(
    clusters: list[Json],
    backups: list[Json],
    claims: list[Json] | None = None,
    age_min: int = 60,
    accounts: Mapping[str, bool] | None = None,
    archive: Archive | None = None,
    **more: list[Json],
) -> list[str]:
    more.setdefault("object_stores", [object_store()])
    data = ClusterData(clusters=clusters, backups=backups, claims=claims or [], **more)
    known = accounts or {OWN: False}
    wanted = archives_of(data, now=NOW, backup_age_min=age_min, accounts=known)
    return judge_data(
        data,
        now=NOW,
        backup_age_min=age_min,
        node_group=NODES,
        accounts=known,
        archives=dict.fromkeys(wanted, archive or whole_archive()),
    )


@pytest.mark.parametrize("method", ["", "barmanObjectStore", "plugin"])
def test_a_fresh_backup_and_working_archiving_prove_a_cluster_and_its_volumes(method: str) -> None:
    assert judged([cluster()], [backup(500), backup(59, method=method)], [claim()]) == []


@pytest.mark.parametrize(
    ("backups", "reason"),
    [
        ([], "it has no completed backup in object storage"),
        ([backup(phase="running")], "no completed backup"),
        ([backup(phase="failed")], "no completed backup"),
        ([backup(stoppedAt=None)], "no completed backup"),
        ([backup(stoppedAt="2026-11-24T11:59:00")], "no completed backup"),
        ([backup(name="other")], "no completed backup"),
        ([backup(namespace="elsewhere")], "no completed backup"),
        ([backup(61)], "its newest completed backup is 61 minutes old, and 60 minutes are allowed"),
        ([backup(1001)], "its newest completed backup is 17 hours old, and 60 minutes are allowed"),
    ],
)
def test_a_cluster_without_a_fresh_backup_is_named(backups: list[Json], reason: str) -> None:
    (problem,) = judged([cluster()], backups)
    assert problem.startswith("Postgres cluster db/pg: ")
    assert reason in problem
    assert "kubectl cnpg backup pg --namespace db" in problem


@pytest.mark.parametrize("says_so", [{"method": "volumeSnapshot"}, {"status_method": "volumeSnapshot"}])
def test_a_volume_snapshot_goes_with_the_cluster_and_proves_nothing(says_so: dict[str, str]) -> None:
    taken = backup(method=says_so.get("method", ""))
    taken["status"] |= {"method": says_so["status_method"]} if "status_method" in says_so else {}
    (problem,) = judged([cluster()], [taken])
    assert "no completed backup in object storage" in problem


def test_a_backup_of_an_earlier_cluster_of_that_name_proves_nothing() -> None:
    (problem,) = judged([cluster(created="2026-11-24T11:55:00Z")], [backup(10)])
    assert "no completed backup" in problem


def test_the_age_that_is_allowed_is_the_callers() -> None:
    assert judged([cluster()], [backup(200)], age_min=200) == []


@pytest.mark.parametrize(
    ("archiving", "reason"),
    [
        ("False", "its WAL archiving doesn't work (barman says no)"),
        ("Unknown", "its WAL archiving doesn't work"),
        (None, "it archives no WAL"),
    ],
)
def test_a_cluster_whose_archiving_doesnt_work_is_named(archiving: str | None, reason: str) -> None:
    (problem,) = judged([cluster(archiving)], [backup()])
    assert reason in problem


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        # Hibernated: https://cloudnative-pg.io/docs/1.31/declarative_hibernation
        ({"instancesStatus": {}, "readyInstances": 0}, "its primary pg-1 isn't known to run"),
        # Fenced, frozen or crashed, with its replicas up.
        (
            {"instancesStatus": {"healthy": ["pg-2"], "failed": ["pg-1"]}},
            "its primary pg-1 isn't known to run",
        ),
        ({"instancesStatus": {"replicating": ["pg-1"]}}, "its primary pg-1 isn't known to run"),
        ({"targetPrimary": "pending"}, "its primary moves from pg-1 to pending"),
        ({"currentPrimary": ""}, "it has no primary"),
    ],
)
def test_a_condition_about_archiving_that_no_primary_keeps_true_proves_nothing(
    status: Json, reason: str
) -> None:
    stale = cluster("True")
    stale["status"] |= status
    (problem,) = judged([stale], [backup()])
    assert reason in problem
    assert "See that its primary runs" in problem


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        ("cnpg.io/hibernation", "on"),
        ("cnpg.io/fencedInstances", '["pg-2"]'),
        ("cnpg.io/reconciliationLoop", "disabled"),
    ],
)
def test_a_cluster_that_a_person_stopped_is_unproven_whatever_its_status_says(
    annotation: str, value: str
) -> None:
    held = cluster()
    held["metadata"]["annotations"] = {annotation: value}
    (problem,) = judged([held], [backup()])
    assert problem.startswith("Postgres cluster db/pg: it is ")


OTHER_KIND = OWNER | {"kind": "Pooler"}
OTHER_API = OWNER | {"apiVersion": "cluster.x-k8s.io/v1beta1"}
OTHER_UID = OWNER | {"uid": "uid-of-an-earlier-pg"}


@pytest.mark.parametrize(
    "orphan",
    [
        claim("data", owners=()),
        claim("labelled", owners=(), **{"cnpg.io/cluster": "pg"}),
        claim("pg-1", "elsewhere"),
        claim("kind", owners=[OTHER_KIND]),
        claim("api", owners=[OTHER_API]),
        claim("uid", owners=[OTHER_UID]),
        claim("none", owners=[OWNER | {"uid": None}]),
        claim("words", owners=["pg"]),
    ],
    ids=lambda one: one["metadata"]["name"],
)
def test_a_volume_that_no_cluster_owns_is_named_whatever_its_label_says(orphan: Json) -> None:
    (problem,) = judged([cluster()], [backup()], [orphan])
    assert problem.startswith(
        f"PersistentVolumeClaim {orphan['metadata']['namespace']}/{orphan['metadata']['name']} (8Gi)"
    )


WRONG: list[Any] = [None, "", "2099", 7, True, [], ["x"], {}, {"x": 1}]
# Of both methods, and of one.
FIELDS = [
    ("spec",),
    ("spec", "cluster"),
    ("spec", "cluster", "name"),
    ("status",),
    ("status", "phase"),
    ("status", "stoppedAt"),
    ("status", "backupId"),
    ("spec", "method"),
    ("status", "method"),
    ("metadata",),
    ("metadata", "namespace"),
]
OF_METHOD = {
    "plugin": [("spec", "pluginConfiguration"), ("spec", "pluginConfiguration", "name")],
    "barmanObjectStore": [("status", "destinationPath"), ("status", "endpointURL")],
}
METHODS_FIELDS = [(method, path) for method, more in OF_METHOD.items() for path in FIELDS + more]
# What may be left out: the method is said once, or is barmanObjectStore; the endpoint is Azure's own.
MAY_LACK = {("spec", "method"), ("status", "method"), ("status", "endpointURL")}
# What a person reads.
OTHERWISE = {("metadata", "name")}


class Noted(dict[str, Any]):
    """JSON that notes what is read of it."""

    def __init__(self, value: Json, seen: set[tuple[str, ...]], path: tuple[str, ...] = ()) -> None:
        super().__init__(
            {
                key: Noted(one, seen, (*path, key)) if isinstance(one, dict) else one
                for key, one in value.items()
            }
        )
        self.seen, self.path = seen, path

    def __getitem__(self, key: str) -> Any:
        self.seen.add((*self.path, key))
        return super().__getitem__(key)

    def get(self, key: str, default: Any = None) -> Any:
        self.seen.add((*self.path, key))
        return super().get(key, default)


@pytest.mark.parametrize("method", OF_METHOD)
def test_every_field_that_is_read_of_a_backup_is_among_those_that_are_made_wrong(method: str) -> None:
    seen: set[tuple[str, ...]] = set()
    judged([cluster()], [Noted(backup(method=method), seen), Noted(backup(-60, method=method), seen)])
    assert seen - OTHERWISE == {*FIELDS, *OF_METHOD[method]}


def by_method(one: object) -> str:
    return ".".join(one) if isinstance(one, tuple) else repr(one) if one is None else str(one)


@pytest.mark.parametrize("wrong", WRONG, ids=repr)
@pytest.mark.parametrize(("method", "path"), METHODS_FIELDS, ids=by_method)
def test_a_backup_with_any_field_wrong_proves_nothing(method: str, path: tuple[str, ...], wrong: Any) -> None:
    taken = backup(method=method)
    taken["status"]["method"] = method
    assert judged([cluster()], [taken]) == []
    part = taken
    for name in path[:-1]:
        part = part[name]
    part[path[-1]] = wrong
    if wrong is None and path in MAY_LACK:
        assert judged([cluster()], [taken]) == []
        return
    (problem,) = judged([cluster()], [taken])
    assert re.search("no completed backup in object storage outside|no backup that the blobs show", problem)


@pytest.mark.parametrize(
    ("method", "path"), [one for one in METHODS_FIELDS if one[1] not in MAY_LACK], ids=by_method
)
def test_a_backup_with_any_field_missing_proves_nothing(method: str, path: tuple[str, ...]) -> None:
    taken = backup(method=method)
    part = taken
    for name in path[:-1]:
        part = part[name]
    del part[path[-1]]
    (problem,) = judged([cluster()], [taken])
    assert re.search("no completed backup in object storage outside|no backup that the blobs show", problem)


OF_A_CLUSTER = [
    ("status", "conditions"),
    ("status", "systemID"),
    ("status", "currentPrimary"),
    ("status", "targetPrimary"),
    ("status", "instancesStatus"),
    ("status", "instancesStatus", "healthy"),
]


@pytest.mark.parametrize("wrong", WRONG, ids=repr)
@pytest.mark.parametrize("path", OF_A_CLUSTER, ids=".".join)
def test_a_cluster_that_says_anything_odd_of_itself_is_unproven(path: tuple[str, ...], wrong: Any) -> None:
    odd = cluster()
    part = odd
    for name in path[:-1]:
        part = part[name]
    part[path[-1]] = wrong
    assert judged([odd], [backup()])


@pytest.mark.parametrize("minutes", [6, 60, 3 * 24 * 60, 73 * 365 * 24 * 60])
def test_a_backup_that_ended_in_the_future_proves_nothing(minutes: int) -> None:
    (problem,) = judged([cluster()], [backup(-minutes)])
    assert "backup b ended in the future" in problem
    assert judged([cluster()], [backup(-minutes), backup(10)]) == []


def test_a_clock_a_little_ahead_is_no_future() -> None:
    assert judged([cluster()], [backup(-5)]) == []


@pytest.mark.parametrize("method", ["barmanobjectstore", "pgdump", "velero"])
def test_a_backup_by_an_unknown_method_proves_nothing(method: str) -> None:
    (problem,) = judged([cluster()], [backup(method=method)])
    assert f"unknown method, {method}" in problem


def test_a_backup_whose_spec_and_status_name_two_methods_proves_nothing() -> None:
    (problem,) = judged(
        [cluster()],
        [
            backup(method="plugin")
            | {"status": backup(method="barmanObjectStore")["status"] | {"method": "barmanObjectStore"}}
        ],
    )
    assert "unknown method, barmanObjectStore and plugin" in problem


def test_a_backup_of_an_unknown_plugin_proves_nothing() -> None:
    taken = backup(method="plugin")
    taken["spec"]["pluginConfiguration"]["name"] = "backup.example.org"
    (problem,) = judged([cluster()], [taken])
    assert "unknown plugin, backup.example.org" in problem


UNKNOWN_DESTINATIONS: list[Any] = [
    None,
    "",
    7,
    ["https://elsewhere0001.blob.core.windows.net/backups"],
    "s3://backups/",
    "gs://backups/",
    "file:///backups",
    "http://elsewhere0001.blob.core.windows.net/backups",
    "https://minio.db.svc/backups",
    "https://azurite.db.svc.cluster.local:10000/account/backups",
    "https://blob.core.windows.net.db.svc/backups",
    "https://.blob.core.windows.net/backups",
    "https://a.b.blob.core.windows.net/backups",
    "https://elsewhere0001.blob.core.windows.net@minio.db.svc/backups",
    "https://[",
]


@pytest.mark.parametrize("path", UNKNOWN_DESTINATIONS, ids=repr)
@pytest.mark.parametrize(
    "where", ["cluster", "backup", "backup endpoint", "endpoint", "plugin", "plugin endpoint"]
)
def test_a_destination_not_known_to_be_outside_proves_nothing(where: str, path: Any) -> None:
    mine, taken, store = cluster(), backup(), object_store()
    if where == "cluster":
        mine = cluster(path=path)
    elif where == "backup":
        taken["status"]["destinationPath"] = path
    elif where == "backup endpoint":
        taken["status"]["endpointURL"] = path
    elif where == "endpoint":
        mine["spec"]["backup"]["barmanObjectStore"]["endpointURL"] = path
    else:
        taken = backup(method="plugin")
        store = object_store(path) if where == "plugin" else object_store(endpointURL=path)
    if path is None and where in ("backup endpoint", "endpoint", "plugin endpoint"):
        pytest.skip("left out: the cluster's destination counts")
    (problem,) = judged([mine], [taken], object_stores=[store])
    assert "no completed backup in object storage outside the cluster (backup b " in problem


@pytest.mark.parametrize(
    "stores",
    [[], [object_store(name="other")], [object_store(namespace="elsewhere")]],
    ids=["none", "name", "namespace"],
)
def test_a_plugin_whose_object_store_isnt_there_proves_nothing(stores: list[Json]) -> None:
    (problem,) = judged([cluster()], [backup(method="plugin")], object_stores=stores)
    assert "has no known destination" in problem


@pytest.mark.parametrize(
    "plugins", [None, "x", [], [{"name": "other"}], [{"name": PLUGIN, "enabled": False}]], ids=repr
)
def test_a_cluster_that_doesnt_use_the_plugin_has_no_destination_by_it(plugins: Any) -> None:
    mine = copy.deepcopy(cluster())
    mine["spec"]["plugins"] = plugins
    (problem,) = judged([mine], [backup(method="plugin")])
    assert "has no known destination" in problem


def test_a_backup_that_records_no_place_is_where_its_cluster_archives() -> None:
    taken = backup()
    del taken["status"]["destinationPath"], taken["status"]["endpointURL"]
    assert judged([cluster()], [taken]) == []
    (problem,) = judged([cluster(path="s3://backups/")], [taken])
    assert "is in s3://backups/, which isn't known to be outside" in problem


@pytest.mark.parametrize("method", ["barmanObjectStore", "plugin"])
def test_backups_in_this_environments_account_prove_only_while_it_stays(method: str) -> None:
    mine, stores = cluster(path=f"{OWN}backups"), [object_store(f"{OWN}backups")]
    taken = [backup(method=method)]
    assert judged([mine], taken, object_stores=stores, accounts={OWN: False}) == []
    (problem,) = judged([mine], taken, object_stores=stores, accounts={OWN: True})
    assert "which is deleted too" in problem


AMONG_NODES = "https://f0123456789abcdef.blob.core.windows.net/"


@pytest.mark.parametrize("method", ["barmanObjectStore", "plugin"])
@pytest.mark.parametrize(
    "path",
    [
        f"{AMONG_NODES}backups",
        AMONG_NODES,
        AMONG_NODES.rstrip("/"),
        f"{AMONG_NODES.upper().replace('HTTPS', 'https')}backups",
        "https://f0123456789abcdef.blob.core.windows.net:443/backups",
        "https://user@f0123456789abcdef.blob.core.windows.net/backups",
        "https://F0123456789abcdef.blob.core.windows.net?backups",
    ],
)
def test_backups_in_an_account_among_the_nodes_go_with_them(method: str, path: str) -> None:
    """Made there by a driver for a claim, it is Kubernetes' own, and its host looks like any other account's."""
    accounts = {OWN: False, AMONG_NODES: True}
    mine, stores = cluster(path=path), [object_store(path)]
    (problem,) = judged([mine], [backup(method=method)], object_stores=stores, accounts=accounts)
    assert f"is in {path}, which is deleted too" in problem
    beside = "https://f0123456789abcde.blob.core.windows.net/backups"
    mine, stores = cluster(path=beside), [object_store(beside)]
    assert judged([mine], [backup(method=method)], object_stores=stores, accounts=accounts) == []


def test_a_sandboxs_accounts_share_a_host_and_differ_by_path() -> None:
    accounts = {OWN: False, "https://localhost:1/kept/": False, "https://localhost:1/doomed/": True}
    path = "https://localhost:1/kept/backups"
    mine, stores = cluster(path=path), [object_store(path)]
    assert judged([mine], [backup(method="plugin")], object_stores=stores, accounts=accounts) == []


def test_a_volume_with_a_claim_is_its_claims() -> None:
    assert judged([cluster()], [backup()], [claim()], volumes=[volume("uid-pg-1")]) == []


@pytest.mark.parametrize(
    "kept",
    [
        volume(),
        volume("uid-of-a-claim-that-is-gone"),
        volume(claimRef=None),
        volume(csi={"driver": "file.csi.azure.com", "volumeHandle": "rg#account#share"}),
        volume(csi={"driver": "disk.csi.azure.com", "volumeHandle": "?"}),
        volume(csi=None, local={"path": "/mnt"}),
    ],
)
def test_a_volume_without_a_claim_is_named(kept: Json) -> None:
    (problem,) = judged([cluster()], [backup()], [claim()], volumes=[kept])
    assert problem.startswith("PersistentVolume pvc-1 (8Gi, ")


def test_a_volume_whose_disk_is_in_another_group_stays() -> None:
    assert judged([], [], volumes=[volume(group="rg-archive")]) == []


def test_snapshots_are_named_and_those_whose_object_is_gone_too() -> None:
    snapshot = {"metadata": metadata("monday")}
    content = {"metadata": {"name": "c-1"}, "spec": {"volumeSnapshotRef": metadata("monday")}}
    left = {"metadata": {"name": "c-2"}, "spec": {"volumeSnapshotRef": metadata("sunday")}}
    first, second = judged([], [], snapshots=[snapshot], snapshot_contents=[content, left])
    assert first.startswith("VolumeSnapshot db/monday goes with the cluster")
    assert second.startswith("VolumeSnapshotContent c-2 has no VolumeSnapshot")


# What the blobs and the ObjectStore have to say too.


@pytest.mark.parametrize("method", ["", "plugin"])
def test_a_backup_that_only_kubernetes_knows_proves_nothing(method: str) -> None:
    (problem,) = judged([cluster()], [backup(method=method)], archive=Archive())
    assert "it has no backup that the blobs show too (backup b isn't in the container" in problem


def test_a_container_that_cant_be_read_proves_nothing() -> None:
    (problem,) = judged([cluster()], [backup()], archive=Archive(unread="403 AuthorizationFailure"))
    assert "can't be looked at in the container (403 AuthorizationFailure)" in problem


WINDOWS: list[Any] = [
    *WRONG,
    {"pg": None},
    {"other": {"firstRecoverabilityPoint": ENDED, "lastSuccessfulBackupTime": ENDED}},
    {"pg": {"lastSuccessfulBackupTime": ENDED}},
    {"pg": {"firstRecoverabilityPoint": ENDED}},
    {"pg": {"firstRecoverabilityPoint": ENDED, "lastSuccessfulBackupTime": "2026-11-23T00:00:00Z"}},
    {"pg": {"firstRecoverabilityPoint": "2026-11-25T00:00:00Z", "lastSuccessfulBackupTime": ENDED}},
    {"pg": {"firstRecoverabilityPoint": 7, "lastSuccessfulBackupTime": []}},
]


@pytest.mark.parametrize("window", WINDOWS, ids=repr)
def test_a_backup_that_its_object_store_doesnt_know_proves_nothing(window: Any) -> None:
    store = object_store()
    store["status"]["serverRecoveryWindow"] = window
    (problem,) = judged([cluster()], [backup(method="plugin")], object_stores=[store])
    assert "isn't among those that the ObjectStore's status knows as pg" in problem


@pytest.mark.parametrize("system_id", WRONG, ids=repr)
def test_a_database_whose_system_identifier_isnt_the_backup_s_isnt_proven(system_id: Any) -> None:
    mine = cluster()
    mine["status"]["systemID"] = system_id
    (problem,) = judged([mine], [backup()])
    assert "is of another database" in problem


def test_a_cluster_archives_under_the_name_that_its_plugin_says() -> None:
    mine, store = cluster(), object_store()
    mine["spec"]["plugins"][0]["parameters"]["serverName"] = "pg-7"
    data = ClusterData(clusters=[mine], backups=[backup(method="plugin")], object_stores=[store])
    (wanted,) = archives_of(data, now=NOW, backup_age_min=60, accounts={OWN: False})
    assert (wanted.destination, wanted.server, wanted.backup_ids) == (ELSEWHERE, "pg-7", (BACKUP_ID,))
    (problem,) = judged([mine], [backup(method="plugin")])
    assert "knows as pg-7" in problem


def test_only_the_newest_backups_are_looked_for() -> None:
    taken = [backup(minutes, backupId=f"2026112{minutes}T000000") for minutes in (1, 5, 3, 2, 4, 70, -60)]
    data = ClusterData(clusters=[cluster()], backups=taken, object_stores=[object_store()])
    (wanted,) = archives_of(data, now=NOW, backup_age_min=60, accounts={OWN: False})
    assert wanted.backup_ids == tuple(f"2026112{minutes}T000000" for minutes in (1, 2, 3))
