"""What everything is called, and the tags that say it is ours.

The patterns are the guide's ("Set environment variables"), with `cnpg` replaced by the environment's name.
Names are computed, never drawn: the second run finds what the first one made.
"""

from __future__ import annotations

import hashlib
import re
import string
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aks_postgres.spec.environment import EnvironmentSpec

MANAGED_BY = "managed-by"
PRODUCT = "aks-postgres"
ENVIRONMENT = "aks-postgres-environment"
REGION = "aks-postgres-region"
GENERATION = "aks-postgres-generation"
STATE = "aks-postgres-state"
VERSION = "aks-postgres-version"
WORKER_ADDRESS = "aks-postgres-worker-address"
LAST_GENERATION = "aks-postgres-last-generation"

# What az calls the cluster's two data collection rule associations; agents look for these names.
METRICS_ASSOCIATION = "ContainerInsightsMetricsExtension"
LOGS_ASSOCIATION = "ContainerInsightsExtension"

# A rebuild a day for five years; a tag that says more was edited by hand.
MOST_GENERATIONS = 2000

_BASE36 = string.digits + string.ascii_lowercase
# A fixed namespace of our own, so that a role assignment's GUID depends on nothing but what it assigns.
_ROLE_ASSIGNMENTS = uuid.UUID("0b9c2e0e-54a8-5b7b-8f5b-4c1c9c0c2f3d")


def short_hash(*parts: object, length: int = 8) -> str:
    """`length` characters of [a-z0-9] that depend on every part."""
    number = int.from_bytes(hashlib.sha256("\0".join(map(str, parts)).encode()).digest(), "big")
    digits = []
    for _ in range(length):
        number, digit = divmod(number, 36)
        digits.append(_BASE36[digit])
    return "".join(digits)


def environment_key(spec: EnvironmentSpec) -> str:
    """The value of the tag that says which environment a resource belongs to."""
    return f"{spec.name}-{spec.region}"


def role_assignment_name(scope: str, principal_id: str, role_id: str) -> str:
    """The GUID of a role assignment: the same triple always gets the same one."""
    return str(uuid.uuid5(_ROLE_ASSIGNMENTS, f"{scope}|{principal_id}|{role_id}".casefold()))


@dataclass(frozen=True)
class Names:
    """The names of one generation of one environment."""

    resource_group: str
    backup_group: str
    identity: str
    backup_identity: str
    storage_account: str
    grafana: str
    monitor_workspace: str
    log_workspace: str
    cluster: str
    node_resource_group: str
    public_ip: str
    postgres_cluster: str
    federated_credential: str
    postgres_dns_prefix: str
    suffix: str

    @classmethod
    def of(cls, spec: EnvironmentSpec, subscription_id: str, generation: int) -> Names:
        """Compute the names.

        Args:
            spec: the environment.
            subscription_id: the subscription that it is in.
            generation: 1 for the first; one more after every tear-down.
        """
        base = spec.suffix or f"{subscription_id.lower()}/{spec.name}/{spec.region}"
        suffix = short_hash(base, "generation", generation)
        stable = short_hash(base, "backups")
        cluster = f"aks-primary-{spec.name}-{suffix}"
        database = spec.database
        in_environment = spec.storage.backups == "in_environment_group"
        resource_group = f"rg-{spec.name}-{suffix}"
        return cls(
            resource_group=resource_group,
            backup_group=resource_group if in_environment else f"rg-{spec.name}-backup-{stable}",
            identity=f"mi-aks-{spec.name}-{suffix}",
            backup_identity=f"mi-backup-{spec.name}-{suffix}",
            storage_account=f"ha{spec.name}psa{suffix if in_environment else stable}",
            grafana=f"grafana-{spec.name}-{suffix}",
            monitor_workspace=f"amw-{spec.name}-{suffix}",
            log_workspace=f"ala-{spec.name}-{suffix}",
            cluster=cluster,
            node_resource_group=f"rg-{spec.name}-primary-aksmanaged-{suffix}",
            public_ip=f"{cluster}-pip",
            postgres_cluster=(database and database.name) or f"pg-primary-{spec.name}-{suffix}",
            federated_credential=f"pg-primary-fedcred1-{spec.name}-{suffix}",
            postgres_dns_prefix=(database and database.access.dns_label)
            or "a" + hashlib.sha256(f"{base}/{generation}/dns".encode()).hexdigest()[:10],
            suffix=suffix,
        )

    def metrics_endpoint(self, workspace_region: str) -> str:
        """Data collection endpoint of managed Prometheus, cut to 44 characters as az does."""
        return _alphanumeric_ends(f"MSProm-{workspace_region}-{self.cluster}"[:44])

    def metrics_rule(self, workspace_region: str) -> str:
        """Data collection rule of managed Prometheus, cut to 64 characters as az does."""
        return _alphanumeric_ends(f"MSProm-{workspace_region}-{self.cluster}"[:64])

    def logs_rule(self, workspace_region: str) -> str:
        """Data collection rule of Container insights, cut to 64 characters as az does."""
        return f"MSCI-{workspace_region}-{self.cluster}"[:64].removesuffix("-")

    def rule_group(self, template: str) -> str:
        """Prometheus rule group made from a template, cut to 260 characters as az does."""
        return f"{template}-{self.cluster}"[:260]

    def is_rule_group(self, name: str) -> bool:
        """Whether a Prometheus rule group of that name is one of this generation's, whatever Azure recommended."""
        return name.casefold().endswith(f"-{self.cluster}")

    def monitor_group(self, region: str) -> str:
        """The group that Azure makes for the Azure Monitor workspace, and takes away with it."""
        return f"MA_{self.monitor_workspace}_{region}_managed"


def _alphanumeric_ends(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+$", "", re.sub(r"[^A-Za-z0-9-]", "", name))


def resource_tags(spec: EnvironmentSpec) -> dict[str, str]:
    """Tags for every resource that takes tags: the spec's own and those that say it is ours."""
    return {**spec.tags, MANAGED_BY: PRODUCT, ENVIRONMENT: environment_key(spec), REGION: spec.region}


def is_ours(tags: dict[str, str] | None, spec: EnvironmentSpec) -> bool:
    """Return whether these tags say that the resource belongs to this environment."""
    have = {key.casefold(): value for key, value in (tags or {}).items()}
    return have.get(MANAGED_BY) == PRODUCT and have.get(ENVIRONMENT) == environment_key(spec)


def plain_region(location: str) -> str:
    """A workspace's region as az writes it into names: lower-case letters and digits."""
    return re.sub(r"[^a-z0-9]", "", location.lower())
