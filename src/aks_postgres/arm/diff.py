"""Comparing what is wanted with what is live, and merging the two. Pure: data in, data out."""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from aks_postgres.arm.ignored import without_ignored
from aks_postgres.arm.responses import Json
from aks_postgres.errors import ImmutableChange
from aks_postgres.reports.outputs import CREATED, UNCHANGED, Change, FieldChange

FINAL_STATES = frozenset({"succeeded", "failed", "canceled"})

# ARM compares the rest without case. An issuer must be what the token says, to the letter and the slash.
_EXACT = frozenset({"tags", "nodeLabels", "keyData", "issuer", "subject", "audiences", "expression"})

# Its keys are what it says; their values are Azure's. A resource of ours has one, so another takes its place.
_IDENTITIES = "userAssignedIdentities"

# ARM's own fields, never ours to send back.
_READ_ONLY = frozenset({"systemData", "etag", "eTag"})


@dataclass(frozen=True)
class Decision:
    """What to do about a resource: the change, and the body to send if there is one."""

    change: Change
    body: Json = field(default_factory=dict)

    @property
    def needs_write(self) -> bool:
        """Whether anything has to be sent."""
        return self.change.kind != "unchanged"


def decide(
    label: str,
    wanted: Json,
    live: Json | None,
    *,
    only_at_creation: Json | None = None,
    immutable: Sequence[str] = (),
    way_out: str = "Rebuild the environment, or change the spec back.",
) -> Decision:
    """Compare the fields we own with the live resource, but for those that the spec's `ignore_changes` names.

    Args:
        label: what the resource is called in messages.
        wanted: the fields we own, as ARM names them.
        live: the resource as Azure answered it; None when absent.
        only_at_creation: fields sent with the first write and never compared (they belong to others later).
        immutable: paths (`properties.nodeResourceGroup`) that Azure can't change in place.
        way_out: what the reader of a refusal can do.

    Raises:
        ImmutableChange: a path in `immutable` differs.
    """
    if live is None:
        return Decision(CREATED, merged(only_at_creation or {}, wanted))
    wanted = without_ignored(wanted)
    fields = differences(wanted, live)
    fixed = [
        f for f in fields if any(f.field == path or f.field.startswith(f"{path}.") for path in immutable)
    ]
    if fixed:
        raise ImmutableChange(label, fixed, way_out)
    state = state_of(live)
    if state.casefold() in ("failed", "canceled"):
        fields.append(FieldChange(field="provisioningState", old=state, new="Succeeded"))
    if not fields:
        return Decision(UNCHANGED)
    body = merged({key: value for key, value in live.items() if key not in _READ_ONLY}, wanted)
    return Decision(Change(kind="updated", fields=tuple(fields)), body)


def state_of(live: Json) -> str:
    """The resource's provisioningState; Succeeded where its type has none."""
    properties = live.get("properties")
    state = properties.get("provisioningState") if isinstance(properties, dict) else None
    return str(state or "Succeeded")


def differences(wanted: Any, live: Any, path: str = "") -> list[FieldChange]:
    """The places where `live` isn't what `wanted` says; what only `live` has doesn't count."""
    if isinstance(wanted, dict) and (isinstance(live, dict) or live is None):
        have = live or {}
        if path.endswith(_IDENTITIES) and any(_key_in(have, key) not in have for key in wanted):
            return [FieldChange(field=path, old=sorted(have), new=sorted(wanted))]
        found = []
        for key, value in wanted.items():
            found += differences(value, have.get(_key_in(have, key)), f"{path}.{key}" if path else str(key))
        return found
    if isinstance(wanted, list) and isinstance(live, list) and _named(wanted) and _named(live):
        by_name = {item["name"].casefold(): item for item in reversed(live)}
        found = []
        for item in wanted:
            found += differences(item, by_name.get(item["name"].casefold()), f"{path}[{item['name']}]")
        return found
    if _same(wanted, live, path):
        return []
    return [FieldChange(field=path, old=live, new=wanted)]


def _key_in(have: Json, key: str) -> str:
    """The key as `have` writes it: ARM keeps a tag name's first case, and changes an ID's as a key."""
    if key in have:
        return key
    return next((other for other in have if _folded(other) == _folded(key)), key)


def _named(items: list[Any]) -> bool:
    return bool(items) and all(isinstance(item, dict) and isinstance(item.get("name"), str) for item in items)


def _same(wanted: Any, live: Any, path: str) -> bool:
    if wanted in (None, "", [], {}) and live in (None, "", [], {}):
        return True
    if isinstance(wanted, list) and isinstance(live, list):
        if len(wanted) != len(live):
            return False
        if all(isinstance(item, str | int) for item in [*wanted, *live]):
            fold = str if _is_exact(path) else _folded
            return sorted(map(fold, wanted)) == sorted(map(fold, live))
        return all(not differences(w, x, path) for w, x in zip(wanted, live, strict=True))
    if isinstance(wanted, str) and isinstance(live, str):
        if _is_exact(path):
            return wanted == live
        if path == "location":
            return _folded(wanted).replace(" ", "") == _folded(live).replace(" ", "")
        return _folded(wanted).rstrip("/") == _folded(live).rstrip("/")
    return bool(wanted == live) and isinstance(wanted, bool) == isinstance(live, bool)


def _is_exact(path: str) -> bool:
    return not _EXACT.isdisjoint(re.split(r"[.\[\]]", path))


def _folded(value: Any) -> str:
    return str(value).casefold()


def merged(base: Any, over: Any) -> Any:
    """`base` with `over` put in under `base`'s own keys; named list elements by name, other lists whole."""
    if isinstance(base, dict) and isinstance(over, dict):
        result = copy.deepcopy(base)
        for key, value in over.items():
            # Twice the same key in two cases would be twice the same tag, or twice the same identity.
            base_key = _key_in(base, key)
            had = base.get(base_key)
            if (
                key == _IDENTITIES
                and isinstance(had, dict)
                and any(_key_in(had, k) not in had for k in value)
            ):
                had = None
            result[base_key] = merged(had, value)
        return result
    if isinstance(base, list) and isinstance(over, list) and _named(base) and _named(over):
        names = [item["name"].casefold() for item in base]
        result_list = copy.deepcopy(base)
        for item in over:
            name = item["name"].casefold()
            if name in names:
                result_list[names.index(name)] = merged(base[names.index(name)], item)
            else:
                result_list.append(copy.deepcopy(item))
        return result_list
    return copy.deepcopy(over)
