"""The live test's environment, the smallest that the rules allow, and what it may cost in minutes and US dollars."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass

from aks_postgres.reports.cost import cost_of
from aks_postgres.spec.environment import EnvironmentSpec

_MINUTES_A_DAY = 24 * 60
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
        a_day_usd = cost_of(changed(spec)).high_usd
        found = min(self.minutes, self.usd * _MINUTES_A_DAY / a_day_usd if a_day_usd else self.minutes)
        if found <= self.clean_up_minutes:
            raise ValueError(
                f"{self.usd:g} USD and {self.minutes:g} minutes are {found:.0f} minutes at {a_day_usd:.2f} USD a "
                f"day, and {self.clean_up_minutes:g} are kept for the clean-up: raise the budget"
            )
        return found
