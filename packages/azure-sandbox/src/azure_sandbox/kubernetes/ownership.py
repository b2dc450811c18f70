"""Who owns which field: `metadata.managedFields`, server-side apply and its conflicts.

https://kubernetes.io/docs/reference/using-api/server-side-apply/
Not kept: ownership across API versions with different schemas (all versions of a type share theirs here).
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from azure_sandbox.kubernetes import errors, fields, schemas
from azure_sandbox.kubernetes.fields import Path
from azure_sandbox.kubernetes.values import copied

Json = dict[str, Any]


@dataclass
class Entry:
    """One manager's fields, by operation and subresource."""

    manager: str
    operation: str
    api_version: str
    subresource: str
    time: str
    paths: set[Path] = field(default_factory=set)

    @property
    def identity(self) -> tuple[str, str, str, str]:
        """What entries are told apart by."""
        return (self.manager, self.operation, self.api_version, self.subresource)

    def encoded(self) -> Json:
        """As `managedFields` has it."""
        entry = {
            "manager": self.manager,
            "operation": self.operation,
            "apiVersion": self.api_version,
            "time": self.time,
            "fieldsType": "FieldsV1",
            "fieldsV1": fields.encode(self.paths),
        }
        if self.subresource:
            entry["subresource"] = self.subresource
        return entry

    def shown(self) -> str:
        """As a conflict's text names it."""
        text = f'"{self.manager}"'
        if self.subresource:
            text += f' with subresource "{self.subresource}"'
        if self.operation == "Update":
            text += f" using {self.api_version}"
            text += f" at {self.time}" if self.time else ""
        return text


@dataclass(frozen=True)
class Writer:
    """Who writes: a field manager, through which version and subresource, and when."""

    manager: str
    api_version: str
    time: str
    subresource: str = ""


def entries_of(obj: Json) -> list[Entry]:
    """The entries of an object."""
    return [
        Entry(
            manager=item.get("manager", ""),
            operation=item.get("operation", "Update"),
            api_version=item.get("apiVersion", ""),
            subresource=item.get("subresource", ""),
            time=item.get("time", ""),
            paths=fields.decode(item.get("fieldsV1") or {}),
        )
        for item in obj.get("metadata", {}).get("managedFields") or []
    ]


def record_update(before: Json, after: Json, schema: Json, writer: Writer) -> None:
    """Give the fields that a write changed to its writer, in place; fields that are gone belong to nobody."""
    entries = entries_of(before)
    written, gone = fields.changed(fields.leaves(before, schema), fields.leaves(after, schema))
    _settle(after, entries, written, gone, writer, "Update")


def apply(
    live: Json,
    config: Json,
    schema: Json,
    writer: Writer,
    force: bool,
    complete: Callable[[Json], Json],
) -> Json:
    """Merge an applied configuration into the live object.

    Args:
        live: the object as stored; empty metadata and no fields for a new one.
        config: what the manager wants to own, with everything that it had applied before and left out now.
        schema: of the type.
        writer: the applying manager.
        force: take fields over from others instead of refusing.
        complete: sets defaults and what the server decides by itself, on the merged object.

    Returns:
        The new object, `managedFields` included.

    Raises:
        ApiError: 409 with one cause for each field that another manager owns with another value.
    """
    entries = entries_of(live)
    identity = (writer.manager, "Apply", writer.api_version, writer.subresource)
    own = next((entry for entry in entries if entry.identity == identity), None)
    applied = fields.applied(config, schema)
    merged = merge(copied(live), config, schema)
    for path in _dropped(entries, own, applied):
        fields.remove(merged, path)

    # Before the defaults: where those lie inside a value owned as a whole, such as a webhook's rules, a
    # second manager that applies the very same configuration conflicts with the first.
    written, gone = fields.changed(fields.leaves(live, schema), fields.leaves(merged, schema))
    conflicts = [
        (entry, path)
        for entry in entries
        if entry is not own
        for path in sorted(entry.paths & written & applied)
    ]
    if conflicts and not force:
        raise _conflict(conflicts)
    if own is None:
        own = Entry(writer.manager, "Apply", writer.api_version, writer.subresource, writer.time)
        entries.append(own)
    if own.paths != applied or written or gone:
        own.time = writer.time
    own.paths = applied
    for entry in entries:
        if entry is not own:
            entry.paths = entry.paths - gone - (written & applied)
    merged = complete(merged)
    _write(merged, entries)
    return merged


def merge(live: Any, config: Any, schema: Json) -> Any:
    """What server-side apply makes of two values: maps and keyed lists are merged, the rest is replaced."""
    if isinstance(live, dict) and isinstance(config, dict) and not schemas.is_atomic_map(schema):
        merged = dict(live)
        for key, value in config.items():
            inner = schemas.OBJECT_META if key == "metadata" and "kind" in config else None
            inner = inner or schemas.child(schema, key) or schemas.UNKNOWN
            merged[key] = merge(live[key], value, inner) if key in live else copied(value)
        return merged
    if isinstance(live, list) and isinstance(config, list):
        keys = schemas.list_keys(schema)
        if keys is not None:
            return _merge_keyed(live, config, keys, schemas.items(schema))
        if schemas.is_set(schema):
            return [*live, *(item for item in config if item not in live)]
    return copied(config)


def _merge_keyed(live: list[Any], config: list[Any], keys: list[str], schema: Json) -> list[Any]:
    wanted = {schemas.key_of(item, keys, schema): item for item in config}
    merged = []
    for item in live:
        applied = wanted.pop(schemas.key_of(item, keys, schema), None)
        merged.append(item if applied is None else merge(item, applied, schema))
    return merged + [copied(item) for item in wanted.values()]


def _dropped(entries: list[Entry], own: Entry | None, applied: set[Path]) -> list[Path]:
    """Fields applied before, not now, and owned by nobody else; the deepest first."""
    if own is None:
        return []
    kept = set(applied).union(*(entry.paths for entry in entries if entry is not own))
    # An item stays while anybody owns something inside it.
    kept |= {path[:length] for path in kept for length in range(1, len(path))}
    return sorted(own.paths - kept, key=len, reverse=True)


def _conflict(conflicts: list[tuple[Entry, Path]]) -> errors.ApiError:
    causes = [
        errors.cause(fields.shown(path), "FieldManagerConflict", f"conflict with {entry.shown()}")
        for entry, path in conflicts
    ]
    if len(conflicts) == 1:
        entry, path = conflicts[0]
        text = f"Apply failed with 1 conflict: conflict with {entry.shown()}: {fields.shown(path)}"
        return errors.apply_conflict(text, causes)
    lines = []
    for name in sorted({entry.shown() for entry, _ in conflicts}):
        lines.append(f"conflicts with {name}:")
        lines += [f"- {fields.shown(path)}" for entry, path in conflicts if entry.shown() == name]
    return errors.apply_conflict(
        f"Apply failed with {len(conflicts)} conflicts: " + "\n".join(lines),
        causes,
    )


def _settle(
    after: Json, entries: list[Entry], written: set[Path], gone: set[Path], writer: Writer, operation: str
) -> None:
    identity = (writer.manager, operation, writer.api_version, writer.subresource)
    own = next((entry for entry in entries if entry.identity == identity), None)
    if own is None:
        own = Entry(writer.manager, operation, writer.api_version, writer.subresource, writer.time)
        entries.append(own)
    for entry in entries:
        if entry is not own:
            entry.paths = entry.paths - written - gone
    if written or gone & own.paths:
        own.time = writer.time
    own.paths = (own.paths | written) - gone
    _write(after, entries)


def _write(obj: Json, entries: list[Entry]) -> None:
    obj["metadata"].pop("managedFields", None)
    encoded = [entry.encoded() for entry in entries if entry.paths]
    if encoded:
        obj["metadata"]["managedFields"] = encoded
