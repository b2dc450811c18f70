"""Whether a cluster's data could be got back: data in, words out."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tasks._live_data import judge_data

Json = dict[str, Any]

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


def metadata(name: str, namespace: str = "db", **more: Any) -> Json:
    return {"name": name, "namespace": namespace, **more}


def cluster(archiving: str | None = "True", created: str = "2026-11-01T00:00:00Z") -> Json:
    conditions = [{"type": "Ready", "status": "True"}]
    if archiving:
        conditions.append({"type": "ContinuousArchiving", "status": archiving, "message": "barman says no"})
    return {"metadata": metadata("pg", creationTimestamp=created), "status": {"conditions": conditions}}


def backup(
    minutes: int = 10, *, name: str = "pg", namespace: str = "db", method: str = "", **status: Any
) -> Json:
    stopped = (NOW - timedelta(minutes=minutes)).isoformat().replace("+00:00", "Z")
    spec = {"cluster": {"name": name}} | ({"method": method} if method else {})
    return {
        "metadata": metadata("b", namespace),
        "spec": spec,
        "status": {"phase": "completed", "stoppedAt": stopped} | status,
    }


def claim(name: str = "pg-1", namespace: str = "db", **labels: str) -> Json:
    return {
        "metadata": metadata(name, namespace, labels=labels),
        "spec": {"resources": {"requests": {"storage": "8Gi"}}},
    }


def judged(
    clusters: list[Json], backups: list[Json], claims: list[Json] | None = None, age_min: int = 60
) -> list[str]:
    return judge_data(clusters, backups, claims or [], now=NOW, backup_age_min=age_min)


@pytest.mark.parametrize("method", ["", "barmanObjectStore", "plugin"])
def test_a_fresh_backup_and_working_archiving_prove_a_cluster_and_its_volumes(method: str) -> None:
    mine = {"cnpg.io/cluster": "pg"}
    assert judged([cluster()], [backup(500), backup(59, method=method)], [claim(**mine)]) == []


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
        ([backup(61)], "its newest completed backup is 61 minutes old, and 60 are allowed"),
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
    "orphan",
    [
        claim("data"),
        claim("pg-1", "elsewhere", **{"cnpg.io/cluster": "pg"}),
        claim("old-1", **{"cnpg.io/cluster": "old"}),
    ],
)
def test_a_volume_of_no_cluster_that_is_there_is_named(orphan: Json) -> None:
    (problem,) = judged([cluster()], [backup()], [orphan])
    assert problem.startswith(
        f"PersistentVolumeClaim {orphan['metadata']['namespace']}/{orphan['metadata']['name']} (8Gi)"
    )
