"""The live test's environment, the smallest that the rules allow, and what it may cost in minutes and US dollars.

The money has to be enough, so a price that nobody read isn't left out of the sum, as a plan leaves it out: a VM size
without one counts as the default's, which is larger, and anything else as in the dearest region that has one.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass

from aks_postgres.reports.cost import CostLine, cost_of
from aks_postgres.spec.environment import EnvironmentSpec

_MINUTES_A_DAY = 24 * 60
# Regions that prices were read in (reports/prices.yaml), those of all nodes in Brazil South and Switzerland among them.
_PRICED = (
    "brazilsouth",
    "eastus",
    "germanywestcentral",
    "japaneast",
    "switzerlandnorth",
    "westeurope",
    "westus",
)
_PRICED_SIZE = "Standard_D4s_v5"
_SMALLER = ("Standard_D2s_v5",)
# For what has no price anywhere: metrics, of which ten million samples cost 0.16 USD.
# https://azure.microsoft.com/pricing/details/monitor/
_UNPRICED_USD = 1.0
# More of the spec as JSON, such as another operator manifest where the usual one can't be fetched.
MORE_VARIABLE = "AKS_POSTGRES_LIVE_SPEC"


def small(subscription_id: str, region: str, suffix: str) -> EnvironmentSpec:
    """A zone, a node of either pool, no redundancy. AKS wants 4 vCPUs of a system pool."""
    more = json.loads(os.environ.get(MORE_VARIABLE) or "{}")
    return EnvironmentSpec.model_validate(
        {
            "name": "live",
            "region": region,
            "subscription_id": subscription_id,
            "suffix": suffix,
            "tags": {"owner": "live-test"},
            "cluster": {"tier": "Free"},
            "system_pool": {"min_count": 1, "max_count": 1, "zones": ["1"]},
            "postgres_pool": {"vm_size": "Standard_D2s_v5", "min_count": 1, "max_count": 2, "zones": ["1"]},
            "storage": {"sku": "Standard_LRS", "soft_delete_days": 1},
            "monitoring": {"grafana_zone_redundancy": False},
            **more,
        }
    )


def changed(spec: EnvironmentSpec) -> EnvironmentSpec:
    """The same with one change that Azure makes in place."""
    pool = spec.postgres_pool.model_copy(update={"max_count": spec.postgres_pool.max_count + 1})
    return spec.model_copy(update={"postgres_pool": pool})


def prices_a_day(spec: EnvironmentSpec) -> dict[str, float]:
    """What each thing costs a day in US dollars, at most; none of them is free because nobody knows its price."""
    pools = {
        name: pool.model_copy(update={"vm_size": _PRICED_SIZE})
        for name, pool in (("system_pool", spec.system_pool), ("postgres_pool", spec.postgres_pool))
        if pool.vm_size in _SMALLER
    }
    priced = spec.model_copy(update=pools)
    elsewhere = [cost_of(priced.model_copy(update={"region": region})).lines for region in _PRICED]
    return {
        line.what: _usd(line, [other for lines in elsewhere for other in lines if other.what == line.what])
        for line in cost_of(priced).lines
    }


def _usd(line: CostLine, elsewhere: list[CostLine]) -> float:
    if line.high_usd is not None:
        return line.high_usd
    return max((other.high_usd for other in elsewhere if other.high_usd is not None), default=_UNPRICED_USD)


@dataclass(frozen=True)
class Budget:
    """Minutes in all, those of them that are kept for the clean-up, and US dollars."""

    minutes: float
    clean_up_minutes: float
    usd: float

    def minutes_within(self, spec: EnvironmentSpec) -> float:
        """How long the environment may stand: what the time or the money allows, whichever is less.

        The price is that of the whole environment with the most nodes, from the first minute on.

        Raises:
            ValueError: not longer than the clean-up takes.
        """
        a_day_usd = sum(prices_a_day(changed(spec)).values())
        found = min(self.minutes, self.usd * _MINUTES_A_DAY / a_day_usd)
        if found <= self.clean_up_minutes:
            raise ValueError(
                f"{self.usd:g} USD and {self.minutes:g} minutes are {found:.0f} minutes at {a_day_usd:.2f} USD a "
                f"day, and {self.clean_up_minutes:g} are kept for the clean-up: raise the budget"
            )
        return found
