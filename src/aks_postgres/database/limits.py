"""What can't be changed on a Postgres cluster that is there: told by the field of the spec, before it is written."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from aks_postgres.errors import ImmutableChange
from aks_postgres.reports.outputs import FieldChange
from aks_postgres.spec.database import CLASS_NAMES

Json = dict[str, Any]


def refuse_impossible(live: Json, wanted: Json) -> None:
    """See that every difference can be made in place and loses nothing.

    Args:
        live: the Cluster as its API shows it.
        wanted: the Cluster of the spec.

    Raises:
        ImmutableChange: not so; with the spec's fields.
    """
    fields = impossible(live, wanted)
    if fields:
        name = live["metadata"]["name"]
        raise ImmutableChange(
            f"Postgres cluster {name}",
            fields,
            "Volumes never shrink, and name, first database, owner, storage class and major version are for good. Set "
            "the spec back, or make another cluster (another database.name) and move the data; then run again.",
        )


def impossible(live: Json, wanted: Json) -> list[FieldChange]:
    """The differences that can't be made, by the spec's fields."""
    found = []
    for part, field in (("storage", "size_gib"), ("walStorage", "wal_size_gib")):
        has, wants = _at(live, "spec", part), _at(wanted, "spec", part)
        if has is None and part == "walStorage":
            continue
        old, new = _at(has, "size"), _at(wants, "size")
        if new is None or (bytes_of(old) or 0) > (bytes_of(new) or 0):
            found.append(FieldChange(field=f"database.storage.{field}", old=old, new=new))
    for field, path in (
        ("database.storage.storage_class", ("spec", "storage", "storageClass")),
        ("database.databases", ("spec", "bootstrap", "initdb", "database")),
        ("database.owner", ("spec", "bootstrap", "initdb", "owner")),
        ("database.postgres_version", ("spec", "imageCatalogRef", "major")),
    ):
        old, new = _at(live, *path), _at(wanted, *path)
        if old is not None and old != new:
            found.append(FieldChange(field=field, old=_kind_of_disk(old), new=_kind_of_disk(new)))
    return found


def _kind_of_disk(value: Any) -> Any:
    """A storage class as the spec says it; anything else as it is."""
    return {name: kind for kind, name in CLASS_NAMES.items()}.get(value, value)


def bytes_of(quantity: Any) -> Decimal | None:
    """Bytes of a quantity such as 64Gi; None where it is none."""
    # Comes with the whole client, a second that most commands don't need.
    from kubernetes.utils.quantity import parse_quantity

    try:
        found: Decimal = parse_quantity(quantity)  # type: ignore[no-untyped-call]
    except (ValueError, TypeError):
        return None
    return found if found.is_finite() else None


def _at(item: Any, *path: str) -> Any:
    for part in path:
        item = item.get(part) if isinstance(item, dict) else None
    return item
