"""Is this resource ours to write? Names can coincide; tags say whose it is."""

from __future__ import annotations

from aks_postgres.arm.errors import NotOurs
from aks_postgres.arm.responses import Json
from aks_postgres.spec.environment import EnvironmentSpec
from aks_postgres.spec.names import is_ours


def refuse_foreign(spec: EnvironmentSpec, label: str, live: Json | None, group: str) -> None:
    """Refuse a live resource without this environment's tags, unless its group was adopted by name.

    Raises:
        NotOurs: names the resource and the way out.
    """
    if live is None or is_ours(live.get("tags"), spec) or group in spec.adopt:
        return
    raise NotOurs(
        f"{label} exists without this environment's tags (managed-by: aks-postgres, aks-postgres-environment: "
        f"{spec.name}-{spec.region}), so it isn't ours to change.",
        way_out=f"If it is yours, set {to_adopt(spec, group)} in the spec; otherwise choose another name or suffix.",
    )


def to_adopt(spec: EnvironmentSpec, *groups: str) -> str:
    """Return what to write into the spec so that it adopts these groups too."""
    names = list(dict.fromkeys([*spec.adopt, *groups]))
    return f"adopt: {names[0] if len(names) == 1 else '[' + ', '.join(names) + ']'}"
