"""How a database reads: unknown isn't good, and nothing that is shown is a secret."""

import copy
from datetime import UTC, datetime
from typing import Any

import pytest

from aks_postgres.database.found import found_database
from aks_postgres.database.objects import lineage, object_store, postgres_cluster
from aks_postgres.spec.environment import EnvironmentSpec

from .test_objects import site_of, spec_of

Json = dict[str, Any]
SINCE, LAST = "2026-11-24T02:15:09Z", "2026-11-29T02:15:07Z"


def parts(**database: Any) -> tuple[EnvironmentSpec, Json, Json]:
    """A healthy database as its API shows it."""
    spec = spec_of(**database)
    site = site_of(spec)
    cluster = postgres_cluster(spec, site, "client", "rg-nodes")
    name = cluster["metadata"]["name"]
    cluster["status"] = {
        "phase": "Cluster in healthy state",
        "readyInstances": 3,
        "currentPrimary": f"{name}-1",
        "targetPrimary": f"{name}-1",
        "image": "registry/postgresql:18.6",
        "conditions": [{"type": "ContinuousArchiving", "status": "True", "message": ""}],
        "certificates": {
            "serverCASecret": f"{name}-ca",
            "expirations": {
                f"{name}-ca": "2097-02-04 09:12:33 +0000 UTC",
                f"{name}-server": "2097-01-04 10:12:33.000000001 +0100 CET",
            },
        },
    }
    store = object_store(spec, site, "https://acc.blob.core.windows.net/backups")
    window = {"firstRecoverabilityPoint": SINCE, "lastSuccessfulBackupTime": LAST}
    store["status"] = {"serverRecoveryWindow": {lineage(site): window}}
    return spec, cluster, store


def test_a_healthy_one_has_no_problems() -> None:
    _, cluster, store = parts(access={"kind": "public_load_balancer", "source_ranges": ["192.0.2.0/24"]})
    found = found_database(cluster, [store], [])
    assert found.problems == ()
    assert (found.primary, found.recoverable_since, found.last_backup) == (
        f"{found.cluster}-1",
        SINCE,
        LAST,
    )
    assert found.backups == f"https://acc.blob.core.windows.net/backups/{found.cluster}-2"
    assert found.certificate_ends == datetime(2097, 1, 4, 9, 12, 33, tzinfo=UTC)
    assert str(found.public_host).endswith(".cloudapp.azure.com")
    assert (found.databases, found.owner, found.password_secret) == (("appdb",), "app", "db-user-pass")


@pytest.mark.parametrize(
    ("path", "value", "problem"),
    [
        (("phase",), "Failing over", "3 of 3 instances are ready (Failing over)"),
        (("phase",), None, "(no phase yet)"),
        (("readyInstances",), 2, "2 of 3 instances are ready"),
        (("currentPrimary",), "", "3 of 3 instances are ready, none of them the primary"),
        (("targetPrimary",), "pg-2", "3 of 3 instances are ready"),
        (("conditions",), [], "WAL isn't archived (nothing is said of it)"),
        (
            ("conditions",),
            [{"type": "ContinuousArchiving", "status": "False", "message": "barman says no"}],
            "WAL isn't archived (barman says no)",
        ),
        (
            ("conditions",),
            [{"type": "ContinuousArchiving", "status": "Unknown"}],
            "WAL isn't archived (nothing is said of it)",
        ),
    ],
)
def test_what_isnt_known_or_isnt_so_is_a_problem(path: tuple[str, ...], value: Any, problem: str) -> None:
    _, cluster, store = parts()
    cluster["status"][path[-1]] = value
    assert any(problem in one for one in found_database(cluster, [store], []).problems)


def test_what_a_person_stopped_is_a_problem_by_that_name() -> None:
    _, cluster, store = parts()
    cluster["metadata"]["annotations"] = {"cnpg.io/hibernation": "on"}
    found = found_database(cluster, [store], [])
    assert not found.is_ready
    (problem,) = found.problems
    assert f"{found.cluster} is hibernated" in problem


@pytest.mark.parametrize("status", [None, {}, {"serverRecoveryWindow": {"other": {}}}, 7])
def test_a_backup_that_nobody_knows_is_a_problem(status: Any) -> None:
    _, cluster, store = parts()
    store["status"] = status
    found = found_database(cluster, [store], [])
    assert [one.partition(": ")[2] for one in found.problems] == ["no backup is known"]
    (also,) = found_database(cluster, [], []).problems
    assert also.endswith("no backup is known")


def test_a_certificate_whose_end_cant_be_read_may_be_the_first_to_end() -> None:
    _, cluster, store = parts()
    cluster["status"]["certificates"]["expirations"]["x"] = "soon"
    assert found_database(cluster, [store], []).certificate_ends is None


def test_its_databases_are_those_of_this_cluster() -> None:
    _, cluster, store = parts()
    namespace, name = cluster["metadata"]["namespace"], cluster["metadata"]["name"]
    mine = {"metadata": {"namespace": namespace}, "spec": {"name": "reports", "cluster": {"name": name}}}
    other = copy.deepcopy(mine)
    other["spec"]["cluster"]["name"] = "other"
    elsewhere = copy.deepcopy(mine)
    elsewhere["metadata"]["namespace"] = "elsewhere"
    assert found_database(cluster, [store], [mine, other, elsewhere]).databases == ("appdb", "reports")


def test_its_poolers_are_those_of_this_cluster() -> None:
    _, cluster, store = parts()
    namespace, name = cluster["metadata"]["namespace"], cluster["metadata"]["name"]
    mine = {"metadata": {"namespace": namespace, "name": "p"}, "spec": {"cluster": {"name": name}}}
    other = copy.deepcopy(mine) | {"spec": {"cluster": {"name": "other"}}}
    elsewhere = copy.deepcopy(mine) | {"metadata": {"namespace": "elsewhere", "name": "p"}}
    found = found_database(cluster, [store], [], [mine, other, elsewhere])
    assert found.pooler_hosts == (f"p.{namespace}.svc.cluster.local",)
    assert found_database(cluster, [store], []).pooler_hosts == ()
