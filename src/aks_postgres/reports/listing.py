"""An environment as it is found in a subscription: data only."""

from __future__ import annotations

from datetime import date, datetime

from aks_postgres.reports.outputs import Outputs


class Pool(Outputs):
    """A node pool as it is now."""

    name: str
    state: str
    nodes: int | None
    vm_size: str


class LastRun(Outputs):
    """A run as the Prefect server has it."""

    name: str
    state: str
    started: datetime | None
    id: str


class FoundEnvironment(Outputs):
    """One generation of an environment.

    `state` is the environment's own word (building, current, retiring); `cluster_state` is Azure's, None where there is
    no cluster. `writer` is the run that is writing now. `support_ends` is when support of its Kubernetes version ends,
    if that is known. The cost is a day's, in US dollars, of what is known.
    """

    name: str
    region: str
    generation: int
    state: str
    resource_group: str
    cluster: str | None = None
    cluster_state: str | None = None
    power: str | None = None
    kubernetes_version: str | None = None
    support_ends: date | None = None
    tier: str | None = None
    created: datetime | None = None
    pools: tuple[Pool, ...] = ()
    writer: str | None = None
    last_run: LastRun | None = None
    cost_low_usd: float | None = None
    cost_high_usd: float | None = None

    @property
    def problems(self) -> tuple[str, ...]:
        """What isn't as it should be."""
        found = []
        if self.state != "current":
            found.append(f"the environment is {self.state or 'without a state'}")
        if self.cluster is None:
            found.append("there is no AKS cluster")
        if self.cluster_state not in (None, "Succeeded"):
            found.append(f"the cluster is {self.cluster_state}")
        if self.power not in (None, "Running"):
            found.append(f"the cluster is {self.power}")
        found += [
            f"node pool {pool.name} is {pool.state}" for pool in self.pools if pool.state != "Succeeded"
        ]
        return tuple(found)
