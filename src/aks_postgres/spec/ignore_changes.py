"""`ignore_changes`: fields of what is there that are neither compared nor written, as in Terraform.

The fields that this product owns are listed here, by the words that a plan has for the resources, so that an entry
which means nothing is refused with the spec.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aks_postgres.spec.spec_paths import resource_type, spec_field, system_pool_of

if TYPE_CHECKING:
    from aks_postgres.spec.environment import EnvironmentSpec

# Stands for every resource: a policy about tags is about all of them.
EVERY = "*"
_TAGS, _LABELS = "tags.{tag}", "nodeLabels.{label}"
_CLUSTER = "microsoft.containerservice/managedclusters"
_STORAGE = "microsoft.storage/storageaccounts"
_SYSTEM = "properties.agentPoolProfiles[{pool}]"
_POOL = (
    "mode",
    "vmSize",
    "osType",
    "type",
    "enableAutoScaling",
    "minCount",
    "maxCount",
    "availabilityZones",
    "orchestratorVersion",
    _LABELS,
)
# A plan's word for the resource, its ARM type, and ARM's paths of the fields that we own; `*` is what is below as well.
# Tags are the spec's: our own say whose a resource is.
OWNED: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("resource group", "microsoft.resources/resourcegroups", ("location", _TAGS)),
    ("managed identity", "microsoft.managedidentity/userassignedidentities", ("location", _TAGS)),
    (
        "storage account",
        _STORAGE,
        (
            "location",
            "kind",
            "sku.name",
            _TAGS,
            "properties.encryption.keySource",
            "properties.encryption.services.blob.enabled",
            "properties.minimumTlsVersion",
            "properties.allowBlobPublicAccess",
            "properties.supportsHttpsTrafficOnly",
            "properties.allowSharedKeyAccess",
            "properties.publicNetworkAccess",
        ),
    ),
    (
        "blob protection",
        f"{_STORAGE}/blobservices",
        (
            "properties.isVersioningEnabled",
            "properties.deleteRetentionPolicy.enabled",
            "properties.deleteRetentionPolicy.days",
            "properties.containerDeleteRetentionPolicy.enabled",
            "properties.containerDeleteRetentionPolicy.days",
        ),
    ),
    ("lifecycle policy", f"{_STORAGE}/managementpolicies", ("properties.policy.rules",)),
    (
        "blob container",
        f"{_STORAGE}/blobservices/containers",
        ("properties.immutableStorageWithVersioning.enabled",),
    ),
    (
        "immutability policy",
        f"{_STORAGE}/blobservices/containers/immutabilitypolicies",
        ("properties.immutabilityPeriodSinceCreationInDays",),
    ),
    (
        "Managed Grafana",
        "microsoft.dashboard/grafana",
        (
            "location",
            _TAGS,
            "sku.name",
            "identity.type",
            "properties.zoneRedundancy",
            "properties.apiKey",
            "properties.deterministicOutboundIP",
            "properties.publicNetworkAccess",
            "properties.grafanaIntegrations.azureMonitorWorkspaceIntegrations",
        ),
    ),
    ("Azure Monitor workspace", "microsoft.monitor/accounts", ("location", _TAGS)),
    (
        "Log Analytics workspace",
        "microsoft.operationalinsights/workspaces",
        (
            "location",
            _TAGS,
            "properties.sku.name",
            "properties.retentionInDays",
            "properties.publicNetworkAccessForIngestion",
            "properties.publicNetworkAccessForQuery",
        ),
    ),
    (
        "data collection endpoint",
        "microsoft.insights/datacollectionendpoints",
        ("location", "kind", _TAGS),
    ),
    (
        "data collection rule",
        "microsoft.insights/datacollectionrules",
        (
            "location",
            "kind",
            _TAGS,
            "properties.description",
            "properties.dataCollectionEndpointId",
            "properties.dataSources*",
            "properties.dataFlows",
            "properties.destinations*",
        ),
    ),
    (
        "data collection association",
        "microsoft.insights/datacollectionruleassociations",
        ("properties.dataCollectionRuleId",),
    ),
    (
        "Prometheus rule group",
        "microsoft.alertsmanagement/prometheusrulegroups",
        (
            "location",
            _TAGS,
            "properties.scopes",
            "properties.enabled",
            "properties.clusterName",
            "properties.interval",
            "properties.rules",
        ),
    ),
    ("node pool (system)", _CLUSTER, tuple(f"{_SYSTEM}.{path}" for path in _POOL)),
    ("API server access", _CLUSTER, ("properties.apiServerAccessProfile.authorizedIPRanges",)),
    (
        "AKS cluster",
        _CLUSTER,
        (
            "location",
            _TAGS,
            "sku.name",
            "sku.tier",
            "identity.type",
            "identity.userAssignedIdentities",
            "properties.kubernetesVersion",
            "properties.supportPlan",
            "properties.nodeResourceGroup",
            "properties.enableRBAC",
            "properties.networkProfile.networkPlugin",
            "properties.networkProfile.networkPluginMode",
            "properties.networkProfile.networkDataplane",
            "properties.networkProfile.loadBalancerSku",
            "properties.networkProfile.outboundType",
            "properties.oidcIssuerProfile.enabled",
            "properties.aadProfile.managed",
            "properties.aadProfile.enableAzureRBAC",
            "properties.disableLocalAccounts",
            "properties.securityProfile.workloadIdentity.enabled",
            "properties.azureMonitorProfile.metrics.enabled",
            "properties.azureMonitorProfile.containerInsights*",
            "properties.addonProfiles.omsagent*",
        ),
    ),
    ("node pool", f"{_CLUSTER}/agentpools", tuple(f"properties.{path}" for path in _POOL)),
)


@dataclass(frozen=True)
class IgnoredChanges:
    """What a spec's `ignore_changes` covers."""

    spec: EnvironmentSpec

    def covers(self, resource_id: str, path: str) -> bool:
        """Return whether a difference at ARM's path is left alone."""
        kind = resource_type(resource_id)
        if not self.spec.ignore_changes or _is_own_tag(path, self.spec):
            return False
        words = {EVERY, word_of(kind, path).casefold()}
        names = [name.casefold() for name in (path, spec_field(kind, path, self.spec)) if name]
        for resource, field in map(_split, self.spec.ignore_changes):
            if resource in words and any(_is_at_or_below(name, field) for name in names):
                return True
        return False

    def entry(self, resource_id: str, path: str) -> str | None:
        """The entry that would cover ARM's path; None where there can't be one."""
        return entry_for(resource_type(resource_id), path, self.spec)


def entry_for(kind: str, path: str, spec: EnvironmentSpec) -> str | None:
    """The entry that would cover a path of a resource of this type; None where there can't be one."""
    field = spec_field(kind, path, spec) or path
    while field and not _is_own_tag(path, spec):
        found = f"{word_of(kind, path)}.{field}"
        if not entry_problem(found, spec):
            return found
        field = re.sub(r"(^|\.|\[)[^.\[]*$", "", field)  # the whole that it is part of
    return None


def word_of(kind: str, path: str) -> str:
    """Return what a plan calls the resource, or the part of the cluster, that a path is of."""
    if kind == _CLUSTER and system_pool_of(path):
        return "node pool (system)"
    if kind == _CLUSTER and path.casefold().endswith("authorizedipranges"):
        return "API server access"
    return next((word for word, of, _ in reversed(OWNED) if of == kind), kind)


def entry_problem(entry: str, spec: EnvironmentSpec) -> str | None:
    """Return why an entry means nothing, and what would; None if it is fine."""
    resource, field = _split(entry)
    rows = [row for row in OWNED if resource in (EVERY, row[0].casefold())]
    if not rows or not field:
        words = ", ".join(word for word, _, _ in OWNED)
        return f"{entry!r} is no <resource>.<field>; the resources are {words}, and {EVERY} for all of them"
    owned = {path: name for _, kind, paths in rows for path, name in _owned(kind, paths, spec)}
    if any(_is_owned(field, path.casefold(), name.casefold()) for path, name in owned.items()):
        return None
    fields = dict.fromkeys(name or path for path, name in owned.items())
    what = "resources" if resource == EVERY else rows[0][0]
    return f"{entry!r} is no field that this product sets; those of {what} are {', '.join(fields)}"


def _owned(kind: str, paths: tuple[str, ...], spec: EnvironmentSpec) -> Iterator[tuple[str, str]]:
    """Each path with this spec's names in it, and the spec's word for it or nothing."""
    for path in paths:
        pool = spec.system_pool if "{pool}" in path else spec.postgres_pool
        for name in spec.tags if "{tag}" in path else pool.labels if "{label}" in path else ("",):
            found = path.replace("{pool}", pool.name).replace("{tag}", name).replace("{label}", name)
            yield found, spec_field(kind, found, spec) or ""


def _is_owned(field: str, path: str, name: str) -> bool:
    """Return whether a field is a path, the spec's word for it, or what holds either."""
    if path.endswith("*") and _is_at_or_below(field, path.removesuffix("*")):
        return True
    return _is_at_or_below(path.removesuffix("*"), field) or bool(name and _is_at_or_below(name, field))


def _is_at_or_below(path: str, above: str) -> bool:
    return path == above or path.startswith((f"{above}.", f"{above}["))


def _is_own_tag(path: str, spec: EnvironmentSpec) -> bool:
    tag = path.removeprefix("tags.")
    return tag != path and tag.casefold() not in map(str.casefold, spec.tags)


def _split(entry: str) -> tuple[str, str]:
    """Resource and field, as they are compared: no resource's word holds a dot."""
    resource, _, field = entry.casefold().partition(".")
    return resource.strip(), field.strip()
