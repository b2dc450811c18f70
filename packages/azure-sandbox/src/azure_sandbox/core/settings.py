"""What a test or a person can change while the sandbox runs: `GET` and `PUT /sandbox/settings`."""

import copy
import ipaddress
import math
import re
from typing import Any

from azure_sandbox.core.durations import names
from azure_sandbox.core.pod_reasons import REASONS

DEFAULTS: dict[str, Any] = {
    # AKS answers 409 while another operation works on the cluster or one of its pools.
    "busy_lock": True,
    # AKS starts an operation of its own 5 to 60 s after a cluster's creation (telescope#1213), and if wanted
    # after each update too.
    "spontaneous_operations": True,
    "spontaneous_operations_after_updates": False,
    # As the subscription says it is: Enabled, PastDue, Warned, Disabled or Deleted.
    "subscription_state": "Enabled",
    # Whether a cluster without the monitoring add-on shows azureMonitorProfile.containerInsights, as off. No recording
    # tells.
    "container_insights_shown_when_off": False,
    # How AKS wants an If-Match: "any", "bare" (as its eTag is in bodies) or "quoted" (RFC 9110). Clients that send
    # either are known, and no recording of the other's answer.
    "if_match_form": "any",
    # Whether a data collection rule can be associated with a cluster that is still Creating. az does it afterwards, and
    # no recording tells.
    "associations_while_creating": True,
    # Whether a PATCH of a Grafana is 202 and then polled, as two of nine recorded ones were, or 200 at once.
    "grafana_patch_takes_time": False,
    # Whether the workload identity webhook gives new pods their variables: its failure policy has been Ignore
    # (https://github.com/Azure/azure-workload-identity/issues/790).
    "identity_webhook": True,
    # The autoscaler brings idle pools to their minimum.
    "autoscaler": True,
    # vCPU that a size must have for a system pool.
    "system_pool_min_vcpus": 4,
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
    # vCPU family, `cores` (all of a region) or "*" (any family) -> limit, over the data tables.
    "quota": {},
    # Region or "*" -> facts over the data tables: {"zrs": false}, {"grafana_zone_redundant": false}, ...
    "regions": {},
    # Over the data tables, in their form: [{"region", "family", "restricted": "location" or "zones", "zones"}];
    # "*" is any region or family.
    "vm_sizes": [],
    # [{"name", "type": regex of the resource type}] with one effect each: "deny_when": {dotted path: value}, and
    # "deny_unless", the same ("*" is any value, `name[*]` each item of a list); "modify": {dotted path: value, or null
    # to remove it}; "deploy": [{"id" (with {id} and {group} of what was written), "type", "body"}].
    # Without any it denies, but not below the scopes in "exempt" and "not_scopes", nor with "enforced": false.
    "policies": [],
    # Pods that never get ready, in every cluster: [{"pod": regex of namespace/name, "reason", "message"}], the reasons
    # being those of azure_sandbox/kubernetes/controllers/pod_troubles.py; a message of one's own may be left out.
    "pods": [],
    # Storage account names that other customers own, and workspace names that soft-deleted workspaces of other
    # groups hold; `*` and `?` as in file names.
    "taken_storage_names": [],
    "held_workspace_names": [],
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

    def reset(self) -> None:
        """Back to the defaults."""
        self._values = copy.deepcopy(DEFAULTS)

    def update(self, values: dict[str, Any]) -> None:
        """Merge values; a table's entries are merged, everything else is replaced.

        Raises:
            ValueError: a name or a value that isn't one of a setting; nothing is changed then.
        """
        check(values)
        for name, value in values.items():
            if isinstance(value, dict):
                self._values[name] = {**self._values[name], **value}
            else:
                self._values[name] = value

    def put_back(self, name: str, value: Any) -> None:
        """Have exactly this value, a table included."""
        self._values[name] = value

    def all(self) -> dict[str, Any]:
        """A copy of everything."""
        return copy.deepcopy(self._values)


def check(values: dict[str, Any]) -> None:
    """Refuse what isn't a setting, or not a value of it, with a ValueError that says so."""
    for name, value in values.items():
        if name not in DEFAULTS:
            raise ValueError(f"there is no setting {name}; the settings are {', '.join(DEFAULTS)}")
        if not _fits(name, value):
            raise ValueError(f"the setting {name} can't be {value!r}")
        unknown = set(value) - names() if name == "durations" else set()
        if unknown:
            raise ValueError(f"there is no duration {', '.join(sorted(unknown))}")


WORDS = {
    "if_match_form": ("any", "bare", "quoted"),
    "subscription_state": ("Enabled", "PastDue", "Warned", "Disabled", "Deleted"),
}
AMOUNTS = ("quota", "durations", "poll_interval_s")
FACTS: dict[str, dict[str, type]] = {
    "regions": {"zrs": bool, "grafana": bool, "grafana_zone_redundant": bool},
    "vm_sizes": {"region": str, "family": str, "restricted": str, "zones": list},
    "pods": {"pod": str, "reason": str, "message": str},
    "policies": {
        "name": str,
        "type": str,
        "deny_when": dict,
        "deny_unless": dict,
        "modify": dict,
        "deploy": list,
        "exempt": list,
        "not_scopes": list,
        "enforced": bool,
    },
}


def _fits(name: str, value: Any) -> bool:
    default = DEFAULTS[name]
    if name in WORDS:
        return value in WORDS[name]
    if isinstance(default, bool):
        return isinstance(value, bool)
    if isinstance(default, int | float):
        return _is_amount(value)
    if isinstance(default, str):
        return isinstance(value, str) and _is_address(value)
    if not isinstance(value, type(default)):
        return False
    if isinstance(value, dict) and not all(isinstance(key, str) for key in value):
        return False
    items = list(value.values()) if isinstance(value, dict) else value
    if name in AMOUNTS:
        return all(_is_amount(item) for item in items)
    if name in FACTS:
        return all(_states(item, FACTS[name]) for item in items) and _is_whole(name, items)
    return all(isinstance(item, bool if name == "registered" else str) for item in items)


def _states(entry: Any, facts: dict[str, type]) -> bool:
    """Whether an entry holds nothing but such facts."""
    return isinstance(entry, dict) and all(
        name in facts and isinstance(value, facts[name]) for name, value in entry.items()
    )


def _is_whole(name: str, entries: list[dict[str, Any]]) -> bool:
    """Whether the entries hold all that they need, and patterns that are some."""
    if name == "vm_sizes":
        return all(entry.keys() >= {"region", "family", "restricted"} for entry in entries)
    if name == "pods" and not all(entry.get("reason") in REASONS for entry in entries):
        return False
    try:
        for entry in entries:
            re.compile(entry.get("type", ""))
            re.compile(entry.get("pod", ""))
    except re.error:
        return False
    return True


def _is_amount(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf


def _is_address(value: str) -> bool:
    try:
        return ipaddress.ip_address(value).version == 4
    except ValueError:
        return False
