"""The dashboard of a database: what its panels ask."""

import re
from typing import Any

from aks_postgres.database.dashboard import dashboard, queries
from azure_sandbox.kubernetes.controllers.postgres.queries import QUERIES

from .test_objects import site_of, spec_of


def drawn(**database: Any) -> dict[str, Any]:
    spec = spec_of(**database)
    return dashboard(spec, site_of(spec), "amw-1")


def test_each_panel_shows_what_somebody_publishes_and_only_of_this_database() -> None:
    asked = queries(drawn(name="shop-db"))
    names = {name for query in asked for name in re.findall(r"([a-z_]{12,})\{", query)}
    of_queries = {f"cnpg_{query.name}_" for query in QUERIES}
    others = {
        "barman_cloud_cloudnative_pg_io_last_available_backup_timestamp",
        "certmanager_certificate_expiration_timestamp_seconds",
        "cnpg_collector_pg_wal_archive_status",
        "cnpg_collector_up",
        "kubelet_volume_stats_capacity_bytes",
        "kubelet_volume_stats_used_bytes",
    }
    assert others <= names
    assert all(name in others or name.startswith(tuple(of_queries)) for name in names)
    own = [query for query in asked if "certmanager" not in query]
    assert all('namespace="cnpg-database",' in query and '"shop-db-[0-9]+' in query for query in own)


def test_panels_dont_overlap_and_a_uid_fits() -> None:
    found = drawn()
    places = {(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in found["panels"]}
    assert len(places) == len(found["panels"]) == len({panel["id"] for panel in found["panels"]})
    assert len(found["uid"]) <= 40
    alone = drawn(backup={"engine": "none", "data_may_be_lost": True})
    assert not any("barman" in query or "archive" in query for query in queries(alone))
