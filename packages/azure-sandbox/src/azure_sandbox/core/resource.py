"""A resource as the store has it, and who is calling."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]

TERMINAL = frozenset({"Succeeded", "Failed", "Canceled"})
"""Final values of provisioningState and of an operation's status: exactly these three (RPC contract)."""


@dataclass
class Resource:
    """A resource as the store has it.

    Args:
        id: canonical resource id.
        type: full type, `Microsoft.ContainerService/managedClusters/agentPools`.
        body: what the service knows and shows: `id`, `name`, `type`, `location`, `tags`, `properties`, ...
        etag: changes with every write and every change of state.
        notes: what the provider remembers and never shows.
        previous: the body that the last PUT or PATCH replaced.
    """

    id: str
    type: str
    body: Json
    etag: str = ""
    created_s: float = 0.0
    notes: dict[str, Any] = field(default_factory=dict)
    previous: Json | None = None

    @property
    def name(self) -> str:
        """The last segment of the id."""
        return self.id.rsplit("/", 1)[-1]

    @property
    def properties(self) -> Json:
        """The `properties` of the body, which can be changed in place."""
        properties: Json = self.body.setdefault("properties", {})
        return properties

    @property
    def state(self) -> str | None:
        """`properties.provisioningState`, None for types without one."""
        state: str | None = self.body.get("properties", {}).get("provisioningState")
        return state

    @state.setter
    def state(self, state: str) -> None:
        self.properties["provisioningState"] = state

    @property
    def settled(self) -> bool:
        """Whether nothing is going on: the state is final, or the type has none."""
        return self.state is None or self.state in TERMINAL

    @property
    def location(self) -> str:
        """The region, as stored."""
        return str(self.body.get("location", ""))

    @property
    def group_id(self) -> str:
        """The id of the resource group."""
        return "/".join(self.id.split("/")[:5])


@dataclass(frozen=True)
class Principal:
    """Who is calling."""

    object_id: str
    client_id: str
    name: str = ""
    kind: str = "ServicePrincipal"
