"""The objects of a database: each is what its definition takes, and none has what is wrong in the guide's."""

import base64
from typing import Any

import pytest

from aks_postgres.database import objects
from aks_postgres.database.parameters import parameters
from aks_postgres.reports.outputs import Target
from aks_postgres.spec.environment import EnvironmentSpec
from aks_postgres.spec.names import Names

from .crds import problems

Json = dict[str, Any]

CLIENT_ID, NODE_GROUP = "11111111-2222-3333-4444-555555555555", "rg-nodes"
PUBLIC = {"kind": "public_load_balancer", "source_ranges": ["20.51.7.0/24"]}


def spec_of(**database: Any) -> EnvironmentSpec:
    return EnvironmentSpec.model_validate({"database": database})


def site_of(spec: EnvironmentSpec, generation: int = 2) -> Target:
    return Target(subscription_id="s", generation=generation, names=Names.of(spec, "s", generation))


def cluster_of(**database: Any) -> Json:
    spec = spec_of(**database)
    found: Json = objects.postgres_cluster(spec, site_of(spec), CLIENT_ID, NODE_GROUP)
    return found


def custom_objects(spec: EnvironmentSpec) -> list[Json]:
    site = site_of(spec)
    return [
        objects.postgres_cluster(spec, site, CLIENT_ID, NODE_GROUP),
        objects.image_catalog(spec, site),
        objects.object_store(spec, site, "https://a.blob.core.windows.net/backups"),
        objects.first_backup(spec, site),
        objects.scheduled_backup(spec, site),
        *objects.more_databases(spec, site),
        *([pool] if (pool := objects.pooler(spec, site)) else []),
    ]


DATABASES: dict[str, Json] = {
    "default": {},
    "public": {"access": PUBLIC, "databases": ["appdb", "_more_"]},
    "internal": {"access": {"kind": "internal_load_balancer"}},
    "premium_ssd_v2": {"storage": {"storage_class": "premium_ssd_v2", "wal_size_gib": 20}},
    "local_nvme": {"storage": {"storage_class": "local_nvme"}},
    "one instance": {"instances": 1, "not_highly_available": True},
    "asynchronous": {"durability": "asynchronous", "failover_quorum": False},
    "no backups": {"backup": {"engine": "none", "data_may_be_lost": True}},
    "pooled": {"pooler": {"pool_mode": "transaction", "parameters": {"max_client_conn": "500"}}},
    "uncompressed": {"backup": {"compression": "none"}},
}


@pytest.mark.parametrize("database", DATABASES.values(), ids=DATABASES)
def test_every_object_is_what_its_definition_takes(database: Json) -> None:
    found = {item["kind"]: problems(item) for item in custom_objects(spec_of(**database))}
    assert not any(found.values()), found


def test_a_field_that_the_definition_does_not_know_is_a_problem() -> None:
    wrong = cluster_of()
    wrong["spec"]["storage"]["clas"] = "x"
    assert problems(wrong)


# The guide's defects, by their numbers in its Deploy and Validate articles.


def test_a_lagging_replica_stays_ready() -> None:
    assert "maximumLag" not in cluster_of()["spec"]["probes"]["readiness"]


def test_a_shutdown_waits_minutes_for_the_archive_and_not_an_hour() -> None:
    assert cluster_of()["spec"]["switchoverDelay"] == 120


def test_the_quorum_is_a_field_and_no_annotation() -> None:
    found = cluster_of()
    assert found["spec"]["postgresql"]["synchronous"] == {
        "method": "any",
        "number": 1,
        "dataDurability": "required",
        "failoverQuorum": True,
    }
    assert "annotations" not in found["metadata"]


def test_instances_are_on_different_nodes_and_zones() -> None:
    spec = cluster_of()["spec"]
    assert (spec["affinity"]["podAntiAffinityType"], spec["affinity"]["topologyKey"]) == (
        "required",
        "kubernetes.io/hostname",
    )
    assert spec["topologySpreadConstraints"][0]["whenUnsatisfiable"] == "DoNotSchedule"


def test_connections_without_tls_are_refused() -> None:
    assert cluster_of()["spec"]["postgresql"]["pg_hba"] == [
        "hostssl all all all scram-sha-256",
        "hostnossl all all all reject",
    ]


def test_the_certificate_names_the_public_address() -> None:
    found = cluster_of(access=PUBLIC | {"dns_label": "shop-db"})
    names = found["spec"]["certificates"]["serverAltDNSNames"]
    assert names == ["shop-db.canadacentral.cloudapp.azure.com"]


def test_the_public_name_is_on_the_load_balancer_only() -> None:
    found = cluster_of(access=PUBLIC)
    services = found["spec"]["managed"]["services"]["additional"]
    label = "service.beta.kubernetes.io/azure-dns-label-name"
    assert all(label in one["serviceTemplate"]["metadata"]["annotations"] for one in services)
    assert "annotations" not in found["spec"]["inheritedMetadata"]


def test_the_operator_owns_what_the_load_balancers_select() -> None:
    services = cluster_of(access=PUBLIC)["spec"]["managed"]["services"]["additional"]
    assert [one["selectorType"] for one in services] == ["rw", "ro"]
    for one in services:
        assert "selector" not in one["serviceTemplate"]["spec"]
        assert one["serviceTemplate"]["spec"]["loadBalancerSourceRanges"] == ["20.51.7.0/24"]
        assert one["serviceTemplate"]["spec"]["ports"][0]["targetPort"] == 5432


def test_the_secret_has_the_type_and_the_label_that_the_operator_asks_for() -> None:
    secret = objects.login_secret(spec_of(), objects.APP_SECRET, "shop", "s3cret")
    assert secret["type"] == "kubernetes.io/basic-auth"
    assert secret["metadata"]["labels"] == {"cnpg.io/reload": "true"}
    assert {key: base64.b64decode(value).decode() for key, value in secret["data"].items()} == {
        "username": "shop",
        "password": "s3cret",
    }


def test_a_base_backup_is_daily_and_its_record_goes_with_the_cluster() -> None:
    spec = spec_of()
    found = objects.scheduled_backup(spec, site_of(spec))["spec"]
    assert (found["schedule"], found["method"], found["backupOwnerReference"]) == (
        "0 15 2 * * *",
        "plugin",
        "cluster",
    )
    assert found["suspend"] is False


def test_settings_are_in_the_operator_s_namespace_and_in_its_units() -> None:
    found = objects.operator_settings(spec_of())
    assert found["metadata"]["namespace"] == "cnpg-system"
    assert int(found["data"]["STANDBY_TCP_USER_TIMEOUT"]) >= 5000  # milliseconds


def test_caches_fit_the_memory_and_wal_fits_the_volume() -> None:
    database = spec_of(memory_gib=8, storage={"size_gib": 10}).database
    assert database is not None
    found = parameters(database)
    assert (found["shared_buffers"], found["effective_cache_size"]) == ("2048MB", "6144MB")
    assert found["max_wal_size"] == "1024MB"
    assert found["max_slot_wal_keep_size"] == "1536MB"
    whole = spec_of(storage={"size_gib": 64}).database
    assert whole is not None
    assert parameters(whole)["max_wal_size"] == "6144MB"  # the guide's


def test_own_parameters_come_over_the_computed_ones() -> None:
    found = cluster_of(parameters={"work_mem": "16MB", "max_connections": "300"})
    given = found["spec"]["postgresql"]["parameters"]
    assert (given["work_mem"], given["max_connections"]) == ("16MB", "300")


# Backups survive everything.


@pytest.mark.parametrize("name", [None, "shop-db"])
def test_no_two_generations_archive_under_one_name(name: str | None) -> None:
    spec = spec_of(name=name)
    found = {objects.lineage(site_of(spec, generation)) for generation in range(1, 6)}
    assert len(found) == 5


def test_the_plugin_archives_under_the_lineage_that_the_cluster_is_labelled_with() -> None:
    found = cluster_of(name="shop-db")
    (plugin,) = found["spec"]["plugins"]
    assert plugin["isWALArchiver"] is True
    assert plugin["parameters"] == {"barmanObjectName": "shop-db-backups", "serverName": "shop-db-2"}
    assert found["metadata"]["labels"] == {"aks-postgres/lineage": "shop-db-2"}


def test_the_empty_archive_check_is_never_switched_off() -> None:
    assert "skipEmptyWalArchiveCheck" not in str(cluster_of())


@pytest.mark.parametrize(
    ("endpoint", "url"),
    [
        ("https://acc.blob.core.windows.net/", "https://acc.blob.core.windows.net/backups"),
        ("https://acc.blob.core.usgovcloudapi.net/", "https://acc.blob.core.usgovcloudapi.net/backups"),
        ("https://localhost:39103/blob/acc/", "https://acc.blob.core.windows.net/backups"),
    ],
)
def test_backups_go_to_the_account_by_its_own_host(endpoint: str, url: str) -> None:
    assert objects.backup_url("acc", endpoint, "backups", "core.windows.net") == url


def test_the_plugin_s_test_images_become_those_of_the_release() -> None:
    image = "ghcr.io/cloudnative-pg/plugin-barman-cloud-testing:main"
    sidecar = base64.b64encode(b"ghcr.io/cloudnative-pg/plugin-barman-cloud-sidecar-testing:main").decode()
    manifest = [
        {"kind": "Deployment", "spec": {"containers": [{"image": image}]}},
        {"kind": "Secret", "data": {"SIDECAR_IMAGE": f"{sidecar[:40]}\n{sidecar[40:]}"}},
    ]
    deployment, secret = objects.plugin_objects(manifest, "0.14.0")
    assert (
        deployment["spec"]["containers"][0]["image"] == "ghcr.io/cloudnative-pg/plugin-barman-cloud:v0.14.0"
    )
    named = base64.b64decode(secret["data"]["SIDECAR_IMAGE"])
    assert named == b"ghcr.io/cloudnative-pg/plugin-barman-cloud-sidecar:v0.14.0"


def test_object_names_are_what_kubernetes_takes() -> None:
    spec = spec_of(databases=["appdb", "_a_", "a"])
    names = [item["metadata"]["name"] for item in objects.more_databases(spec, site_of(spec))]
    assert len(set(names)) == 2
    assert all(not name.endswith("-") for name in names)


def test_roles_of_the_spec_are_the_operators_to_make_with_a_password_each() -> None:
    assert "managed" not in cluster_of()["spec"]
    made = cluster_of(roles=[{"name": "reader_1", "in_roles": ["pg_read_all_data"]}, {"name": "writer"}])
    first, second = made["spec"]["managed"]["roles"]
    assert (first["name"], first["inRoles"], first["login"]) == ("reader_1", ["pg_read_all_data"], True)
    assert first["passwordSecret"] == {"name": "db-role-reader-1"}
    assert second["inRoles"] == []
    # What would let it become more than that is never asked for.
    assert not {"superuser", "createrole", "createdb", "replication", "bypassrls"} & {*first, *second}
