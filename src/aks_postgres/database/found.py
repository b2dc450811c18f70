"""A Cluster, its ObjectStore and its Databases, as what a person wants to know of them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from aks_postgres.database.objects import APP_SECRET, PLUGIN
from aks_postgres.database.status import ClusterState, Held
from aks_postgres.reports.database_status import FoundDatabase

Json = dict[str, Any]

# Go's Time.String(), as the operator writes it: 2027-01-04 09:12:33 +0000 UTC (internal/controller/cluster_pki.go).
_GO_TIME = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)(?:\.\d+)? ([+-]\d{4})( .*)?")
_CLOUD_NAME = re.compile(r"[a-z0-9-]+\.[a-z0-9]+\.cloudapp\.[a-z.]+")


def found_database(
    cluster: Json, stores: Iterable[Json], databases: Iterable[Json], poolers: Iterable[Json] = ()
) -> FoundDatabase:
    """Read what an API server shows of one database.

    Args:
        cluster: the Cluster.
        stores: the ObjectStores of all namespaces.
        databases: the Database objects of all namespaces.
        poolers: the Poolers of all namespaces.
    """
    metadata, spec, status = (
        cluster["metadata"],
        _mapping(cluster.get("spec")),
        _mapping(cluster.get("status")),
    )
    name, namespace = str(metadata["name"]), str(metadata.get("namespace", ""))
    state, held = ClusterState.of(cluster), Held.of(cluster)
    first = _mapping(_mapping(spec.get("bootstrap")).get("initdb"))
    parameters = next(
        (
            _mapping(one.get("parameters"))
            for one in spec.get("plugins") or []
            if isinstance(one, dict) and one.get("name") == PLUGIN
        ),
        None,
    )
    backups, window = None, {}
    if parameters is not None:
        server = str(parameters.get("serverName") or name)
        store = next(
            (
                one
                for one in stores
                if (one["metadata"].get("namespace"), one["metadata"]["name"])
                == (namespace, parameters.get("barmanObjectName"))
            ),
            {},
        )
        path = str(_mapping(_mapping(store.get("spec")).get("configuration")).get("destinationPath") or "")
        backups = f"{path}/{server}" if path else ""
        window = _mapping(_mapping(_mapping(store.get("status")).get("serverRecoveryWindow")).get(server))
    names = [str(one) for one in _mapping(spec.get("certificates")).get("serverAltDNSNames") or []]
    host = f"{name}-{{}}.{namespace}.svc.cluster.local"
    secret = _mapping(first.get("secret")).get("name") or f"{name}-app"
    return FoundDatabase(
        namespace=namespace,
        cluster=name,
        phase=state.phase,
        instances=state.instances,
        ready=state.ready,
        primary=state.primary
        if state.primary in ("", state.target)
        else f"{state.primary} to {state.target or 'none'}",
        image=str(status.get("image") or spec.get("imageName") or ""),
        host=host.format("rw"),
        read_only_host=host.format("ro"),
        pooler_hosts=tuple(
            sorted(
                f"{one['metadata']['name']}.{namespace}.svc.cluster.local"
                for one in poolers
                if _is_of(one, namespace, name)
            )
        ),
        public_host=next((one for one in names if _CLOUD_NAME.fullmatch(one)), None),
        databases=tuple(
            dict.fromkeys(
                [
                    *([str(first["database"])] if first.get("database") else []),
                    *sorted(
                        str(one["spec"].get("name")) for one in databases if _is_of(one, namespace, name)
                    ),
                ]
            )
        ),
        owner=str(first.get("owner") or ""),
        password_secret=str(secret or APP_SECRET),
        ca_secret=str(_mapping(status.get("certificates")).get("serverCASecret") or f"{name}-ca"),
        backups=backups,
        recoverable_since=str(window.get("firstRecoverabilityPoint") or ""),
        last_backup=str(window.get("lastSuccessfulBackupTime") or ""),
        archiving=state.conditions.get("ContinuousArchiving", ("", ""))[0],
        archiving_problem=state.archiving_problem,
        certificate_ends=_first_end(_mapping(_mapping(status.get("certificates")).get("expirations"))),
        is_ready=state.is_ready and held is None,
        held=held.what if held else "",
        not_proven=(
            "that a backup can be restored: no copy was made of one"
            if backups is not None
            else "that anything can be got back: there are no backups",
        ),
    )


def _is_of(item: Json, namespace: str, cluster: str) -> bool:
    """Whether an object of the operator's belongs to a Cluster."""
    its = _mapping(_mapping(item.get("spec")).get("cluster")).get("name")
    return (item["metadata"].get("namespace"), its) == (namespace, cluster)


def _first_end(expirations: Json) -> datetime | None:
    """When the first certificate ends; None where one can't be read, as that may be the first."""
    ends = []
    for text in expirations.values():
        match = _GO_TIME.fullmatch(str(text))
        if match is None:
            return None
        ends.append(datetime.strptime(f"{match[1]} {match[2]}", "%Y-%m-%d %H:%M:%S %z").astimezone(UTC))
    return min(ends, default=None)


def _mapping(value: Any) -> Json:
    return value if isinstance(value, dict) else {}
