"""What a test or a person can change while the sandbox runs: `GET` and `PUT /sandbox/settings`."""

import copy
from typing import Any

DEFAULTS: dict[str, Any] = {
    # AKS answers 409 while another operation works on the cluster or one of its pools.
    "busy_lock": True,
    # AKS starts an operation of its own 5 to 60 s after a cluster's creation (telescope#1213).
    "spontaneous_operations": True,
    # Until Entra's replicas know a new service principal (0 to 120 s).
    "principal_replication_s": 10.0,
    # Whether a role assignment with a principalType is sometimes refused all the same (AgentBaker#8251,
    # cli#33586).
    "principal_type_skips_lookup": True,
    # Until a role works on the blob data plane (0 to 600 s), and in ARM.
    "role_effect_s": 60.0,
    "role_effect_arm_s": 0.0,
    # Real seconds, unlike everything else: azure-identity refreshes 300 real seconds before the end.
    "token_life_s": 3600.0,
    "throttling": True,
    # namespace -> whether it is registered at the reset; what isn't named is.
    "registered": {"Microsoft.Dashboard": False, "Microsoft.Monitor": False},
    # vCPU family -> limit, over the data tables.
    "quota": {},
    # [{"name", "operation_type": regex of the resource type, "deny_when": {dotted path: value}, "message"}]
    "policies": [],
    # Storage account names that other customers own.
    "taken_storage_names": [],
    # Duration name -> exact seconds, over the data tables.
    "durations": {},
    # Client id (or "*") -> seconds of Retry-After on polls where the service sends none.
    "poll_interval_s": {},
    # The one globally routable address that callers seem to come from.
    "egress_address": "20.51.7.9",
}


class Settings:
    """The settings in force; `update` merges, one level deep for the ones that are tables."""

    def __init__(self) -> None:
        self._values = copy.deepcopy(DEFAULTS)

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def get(self, name: str, default: Any = None) -> Any:
        """A setting, known or not."""
        return self._values.get(name, default)

    def reset(self) -> None:
        """Back to the defaults."""
        self._values = copy.deepcopy(DEFAULTS)

    def update(self, values: dict[str, Any]) -> None:
        """Merge values; a table's entries are merged, everything else is replaced."""
        for name, value in values.items():
            if isinstance(value, dict) and isinstance(self._values.get(name), dict):
                self._values[name] = {**self._values[name], **value}
            else:
                self._values[name] = value

    def all(self) -> dict[str, Any]:
        """A copy of everything."""
        return copy.deepcopy(self._values)
