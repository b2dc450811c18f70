"""What a rebuild finds, plans and does: data only."""

from __future__ import annotations

import hashlib
from typing import Literal

from aks_postgres.reports.cost import Cost
from aks_postgres.reports.outputs import EnvironmentOutputs, Outputs, Target
from aks_postgres.reports.plan_view import PlanView
from aks_postgres.reports.receipt import Receipt

Strategy = Literal["blue_green", "replace"]


class LiveGeneration(Target):
    """A generation that is there, and how far it is."""

    state: Literal["building", "current", "retiring"]


class Generations(Outputs):
    """The generations of an environment, the oldest first, and the number that the next one gets."""

    live: tuple[LiveGeneration, ...]
    next: int

    @property
    def alive(self) -> tuple[LiveGeneration, ...]:
        """Those whose tear-down hasn't begun."""
        return tuple(target for target in self.live if target.state != "retiring")


class Addresses(Outputs):
    """What others know a generation by, which a rebuild changes; None where there is none, or not yet.

    The identity is the one that may write backups, which the databases' service accounts name.
    """

    generation: int
    cluster: str | None = None
    api_server: str | None = None
    oidc_issuer: str | None = None
    public_ip: str | None = None
    grafana: str | None = None
    identity_client_id: str | None = None
    identity_principal_id: str | None = None

    @classmethod
    def of(cls, outputs: EnvironmentOutputs) -> Addresses:
        """Those of a finished environment."""
        return cls(
            generation=outputs.place.generation,
            cluster=outputs.cluster.name,
            api_server=outputs.cluster.fqdn,
            oidc_issuer=outputs.cluster.oidc_issuer_url,
            public_ip=outputs.public_ip.ip_address,
            grafana=outputs.grafana.endpoint,
            identity_client_id=outputs.backup_identity.client_id,
            identity_principal_id=outputs.backup_identity.principal_id,
        )


class RebuildPlan(Outputs):
    """What a rebuild will do.

    `target` is the generation that will be there at the end, `old` those that go, `first` whether these go before
    the new one is made; `refusals` is what stands against it.
    """

    environment: str
    subscription: str
    strategy: Strategy
    target: int
    is_there: bool
    old: tuple[int, ...]
    first: bool
    addresses: Addresses | None
    refusals: tuple[str, ...]
    warnings: tuple[str, ...]
    cost: Cost
    view: PlanView | None = None

    @property
    def digest(self) -> str:
        """Twelve characters that are others when the plan is another; prices don't count."""
        text = self.model_dump_json(exclude={"cost", "warnings", "view"})
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    @property
    def headline(self) -> str:
        """The plan in one line."""
        new = f"generation {self.target}"
        old = f"generation{'s' if len(self.old) > 1 else ''} {', '.join(map(str, self.old))}"
        if not self.old:
            return f"{self.environment}: {'finish' if self.is_there else 'make'} {new}"
        if self.first:
            return f"{self.environment}: tear down {old}, then make {new}"
        verb = "finish" if self.is_there else "make"
        return f"{self.environment}: {verb} and verify {new} beside {old}, then tear down {old}"


class Rebuilt(Outputs):
    """What a rebuild did."""

    strategy: Strategy
    outputs: EnvironmentOutputs
    receipts: tuple[Receipt, ...]
    old: Addresses | None
    new: Addresses
