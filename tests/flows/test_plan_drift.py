"""What is ours and was changed is one entry of the plan: the step, the field, what is live and what is wanted."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from aks_postgres.flows.plan import make_plan
from aks_postgres.reports.outputs import FieldChange

from ..conftest import spec_for
from ..tasks.world import Json
from .conftest import writes
from .stage import (
    ACCOUNT,
    ADDRESS,
    BACKUP_GROUP,
    CLUSTER,
    CONTAINER,
    ENDPOINT,
    GRAFANA,
    GROUP,
    IDENTITY,
    LOGS,
    LOGS_LINK,
    LOGS_RULE,
    METRICS,
    METRICS_LINK,
    METRICS_RULE,
    NODE_RULES,
    POSTGRES,
    Change,
    Stage,
    azure_sets,
    by_hand,
    person_deletes,
    person_patches,
    person_removes,
    person_sets,
    person_takes_role,
)

pytestmark = pytest.mark.thorough

OPERATOR = "/apis/apps/v1/namespaces/cnpg-system/deployments/cnpg-controller-manager"
ROLE = "/apis/rbac.authorization.k8s.io/v1/clusterroles/cnpg-manager"
WEBHOOKS = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/cnpg-validating-webhook-configuration"
INSIGHTS = "properties.azureMonitorProfile.containerInsights"
LOG_WORKSPACE = "properties.addonProfiles.omsagent.config.logAnalyticsWorkspaceResourceID"
OTHER_WORKSPACE = (
    "/subscriptions/s/resourceGroups/theirs/providers/Microsoft.OperationalInsights/workspaces/theirs"
)
OTHER_IDENTITY = (
    "/subscriptions/s/resourceGroups/theirs/providers/Microsoft.ManagedIdentity/userAssignedIdentities/theirs"
)

Of = Callable[[Stage], Any]


@dataclass(frozen=True)
class Drift:
    """A change, and the one entry that it makes: a field, or a resource to create."""

    change: Change
    step: str
    field: str | Of = ""
    live: Any = None
    wanted: Any = None
    spec: Json | None = None
    mirror: str = ""
    """Where Azure shows the same field once more."""

    @property
    def action(self) -> str:
        """What `provision` would do: what is gone is made."""
        return "create" if not self.field or self.wanted in ("assigned", "created", "Active") else "update"

    def fields(self, stage: Stage) -> tuple[FieldChange, ...]:
        """What the entry says."""
        if not self.field:
            return ()
        name, live, wanted = [
            value(stage) if callable(value) else value for value in (self.field, self.live, self.wanted)
        ]
        shown = (name, self.mirror) if self.mirror else (name,)
        return tuple(FieldChange(field=field, old=live, new=wanted) for field in shown)


def set_by_hand(which: str, step: str, path: str, live: Any, wanted: Any) -> Drift:
    """Somebody set a field to a value that isn't the wanted one."""
    return Drift(person_sets(which, {path: live}), step, path, live, wanted)


def set_by_azure(which: str, step: str, path: str, live: Any, wanted: Any, mirror: str = "") -> Drift:
    """A field got a value that isn't the wanted one."""
    return Drift(azure_sets(which, {path: live}), step, path, live, wanted, mirror=mirror)


def without_role(step: str, guid: str, scope: str, name: str) -> Drift:
    """Somebody took a role away."""

    def label(stage: Stage) -> str:
        properties = stage.role(guid, scope)["properties"]
        return f"role {name} for {properties['principalId']} on {properties['scope'].rpartition('/')[2]}"

    return Drift(person_takes_role(guid, scope), step, label, None, "assigned")


def in_rule_group(path: str) -> Of:
    return lambda stage: f"{stage.one(NODE_RULES)['name']}: {path}"


def edited(rules: list[Json]) -> list[Json]:
    return [{**rule, "expression": f"2 * {rule['expression']}"} for rule in rules]


def rules_before(stage: Stage) -> list[Json]:
    rules = stage.one(NODE_RULES)["properties"]["rules"]
    return [{**rule, "expression": rule["expression"].removeprefix("2 * ")} for rule in rules]


def run_another_operator(stage: Stage) -> None:
    kube = stage.kube()
    (manager,) = kube.get(OPERATOR)["spec"]["template"]["spec"]["containers"]
    theirs = {**manager, "image": "cnpg:theirs"}
    kube.merge(OPERATOR, {"spec": {"template": {"spec": {"containers": [theirs]}}}})


DRIFT: dict[str, Drift] = {
    # Groups, identity, backups.
    "group without a tag": Drift(
        person_sets(GROUP, {"tags.owner": None}), "resource_group", "tags.owner", None, "user"
    ),
    "group's tag": set_by_hand(GROUP, "resource_group", "tags.owner", "them", "user"),
    "generation not finished": set_by_hand(
        GROUP, "generation", "tags.aks-postgres-state", "building", "current"
    ),
    "backup group's tag": set_by_hand(BACKUP_GROUP, "backup_group", "tags.owner", "them", "user"),
    "identity's tag": set_by_hand(IDENTITY, "managed_identity", "tags.owner", "them", "user"),
    "account's TLS": set_by_azure(
        ACCOUNT, "storage_account", "properties.minimumTlsVersion", "TLS1_0", "TLS1_2"
    ),
    "public blobs": set_by_hand(ACCOUNT, "storage_account", "properties.allowBlobPublicAccess", True, False),
    "plain http": set_by_hand(ACCOUNT, "storage_account", "properties.supportsHttpsTrafficOnly", False, True),
    "no container": Drift(person_deletes(CONTAINER), "backup_container"),
    "no right to write backups": without_role("blob_roles", "ba92f5b4", "", "Storage Blob Data Contributor"),
    # Grafana and the workspaces.
    "Grafana hidden": set_by_hand(
        GRAFANA, "grafana", "properties.publicNetworkAccess", "Disabled", "Enabled"
    ),
    "Grafana's keys": set_by_hand(GRAFANA, "grafana", "properties.apiKey", "Enabled", "Disabled"),
    "Grafana without its link": Drift(
        azure_sets(GRAFANA, {"properties.grafanaIntegrations.azureMonitorWorkspaceIntegrations": []}),
        "grafana_link",
        "properties.grafanaIntegrations.azureMonitorWorkspaceIntegrations",
        [],
        lambda stage: [stage.id(METRICS)],
    ),
    "no Grafana admin": without_role("grafana_roles", "22926164", "", "Grafana Admin"),
    "no reading of metrics": without_role("grafana_roles", "43d0d8ad", "rg-cnpg-c", "Monitoring Reader"),
    "no reading of nodes": without_role("node_group_reader", "43d0d8ad", "rg-cnpg-p", "Monitoring Reader"),
    "no reading of Prometheus": without_role("metrics_reader", "b0d8363b", "", "Monitoring Data Reader"),
    "days of logs": set_by_hand(LOGS, "log_workspace", "properties.retentionInDays", 90, 30),
    "no logs from outside": set_by_hand(
        LOGS, "log_workspace", "properties.publicNetworkAccessForIngestion", "Disabled", "Enabled"
    ),
    # The cluster.
    "tier": set_by_hand(CLUSTER, "cluster", "sku.tier", "Free", "Standard"),
    "an open door": set_by_hand(
        CLUSTER,
        "cluster",
        "properties.apiServerAccessProfile.authorizedIPRanges",
        ["20.51.7.9/32", "20.99.0.0/16"],
        ["20.51.7.9/32"],
    ),
    "another identity": Drift(
        azure_sets(CLUSTER, {"identity.userAssignedIdentities": {OTHER_IDENTITY: {"clientId": "theirs"}}}),
        "cluster",
        "identity.userAssignedIdentities",
        [OTHER_IDENTITY],
        lambda stage: [stage.id(IDENTITY)],
    ),
    "no workload identity": set_by_azure(
        CLUSTER, "cluster", "properties.securityProfile.workloadIdentity.enabled", False, True
    ),
    "more system nodes": set_by_hand(
        CLUSTER, "cluster", "properties.agentPoolProfiles[systempool].maxCount", 5, 3
    ),
    "fewer postgres nodes": set_by_hand(POSTGRES, "node_pool", "properties.minCount", 1, 3),
    "postgres nodes without their label": Drift(
        person_sets(POSTGRES, {"properties.nodeLabels": {"their": "label"}}),
        "node_pool",
        "properties.nodeLabels.workload",
        None,
        "postgres",
    ),
    "system pods on postgres nodes": set_by_hand(POSTGRES, "node_pool", "properties.mode", "System", "User"),
    "no autoscaler": set_by_azure(POSTGRES, "node_pool", "properties.enableAutoScaling", False, True),
    "no postgres pool": Drift(person_deletes(POSTGRES), "node_pool"),
    "an older patch in a pool": Drift(
        azure_sets(
            POSTGRES,
            {"properties.orchestratorVersion": "1.35.2", "properties.currentOrchestratorVersion": "1.35.2"},
        ),
        "node_pool",
        "properties.orchestratorVersion",
        "1.35.2",
        "1.35.4",
        {"cluster": {"kubernetes_version": "1.35.4"}},
    ),
    # Metrics and logs.
    "metrics off": set_by_hand(
        CLUSTER, "metrics_on", "properties.azureMonitorProfile.metrics.enabled", False, True
    ),
    "logs off": set_by_azure(
        CLUSTER,
        "container_insights",
        "properties.addonProfiles.omsagent.enabled",
        False,
        True,
        f"{INSIGHTS}.enabled",
    ),
    "logs sent elsewhere": Drift(
        azure_sets(CLUSTER, {LOG_WORKSPACE: OTHER_WORKSPACE}),
        "container_insights",
        LOG_WORKSPACE,
        OTHER_WORKSPACE,
        lambda stage: stage.id(LOGS),
        mirror=f"{INSIGHTS}.logAnalyticsWorkspaceResourceId",
    ),
    "endpoint's tag": set_by_hand(ENDPOINT, "metrics_endpoint", "tags.owner", "them", "user"),
    "metrics sent elsewhere": Drift(
        azure_sets(
            METRICS_RULE,
            {
                "properties.destinations.monitoringAccounts": [
                    {"name": "MonitoringAccount1", "accountResourceId": OTHER_WORKSPACE}
                ]
            },
        ),
        "metrics_rule",
        "properties.destinations.monitoringAccounts[MonitoringAccount1].accountResourceId",
        OTHER_WORKSPACE,
        lambda stage: stage.id(METRICS),
    ),
    "logs of the old kind": Drift(
        azure_sets(
            LOGS_RULE,
            {
                "properties.dataSources.extensions": lambda sources: [
                    {**one, "extensionSettings": {"dataCollectionSettings": {"enableContainerLogV2": False}}}
                    for one in sources
                ]
            },
        ),
        "logs_rule",
        "properties.dataSources.extensions[ContainerInsightsExtension].extensionSettings"
        ".dataCollectionSettings.enableContainerLogV2",
        False,
        True,
    ),
    "metrics by another rule": Drift(
        azure_sets(METRICS_LINK, {"properties.dataCollectionRuleId": OTHER_WORKSPACE}),
        "metrics_association",
        "properties.dataCollectionRuleId",
        OTHER_WORKSPACE,
        lambda stage: stage.id(METRICS_RULE),
    ),
    "logs by no rule": Drift(person_deletes(LOGS_LINK), "logs_association"),
    "rules off": Drift(
        person_sets(NODE_RULES, {"properties.enabled": False}),
        "rule_groups",
        in_rule_group("properties.enabled"),
        False,
        True,
    ),
    "a rule edited": Drift(
        azure_sets(NODE_RULES, {"properties.rules": edited}),
        "rule_groups",
        in_rule_group("properties.rules"),
        lambda stage: stage.one(NODE_RULES)["properties"]["rules"],
        rules_before,
    ),
    "no rules": Drift(
        person_deletes(NODE_RULES),
        "rule_groups",
        lambda stage: stage.one(NODE_RULES)["name"],
        None,
        "created",
    ),
    # Network and Kubernetes.
    "no address": Drift(person_deletes(ADDRESS), "public_ip"),
    "no right to the network": without_role("network_role", "4d97b98b", "", "Network Contributor"),
    "no namespace": Drift(
        person_removes("/api/v1/namespaces/cnpg-database"),
        "namespaces",
        "namespace cnpg-database",
        None,
        "Active",
    ),
    "another operator": Drift(
        by_hand(run_another_operator),
        "cnpg_operator",
        "Deployment cnpg-controller-manager: spec.template.spec.containers[manager].image",
        "cnpg:theirs",
        "ghcr.io/cloudnative-pg/cloudnative-pg:1.30.0",
    ),
    "no operator": Drift(
        person_patches(OPERATOR, {"spec": {"replicas": 0}}),
        "cnpg_operator",
        "Deployment cnpg-controller-manager: spec.replicas",
        0,
        1,
    ),
    "operator without its webhooks": Drift(
        person_removes(WEBHOOKS),
        "cnpg_operator",
        "ValidatingWebhookConfiguration cnpg-validating-webhook-configuration",
        None,
        "created",
    ),
}


@pytest.mark.parametrize("what", DRIFT)
async def test_it_is_one_entry(stage: Stage, what: str) -> None:
    drift = DRIFT[what]
    drift.change.make(stage)
    since = len(stage.azure.ledger())
    found = await make_plan(spec_for(stage.azure, **(drift.spec or {})), recorded=False)
    (entry,) = [step for step in found.steps if step.action != "nothing"]
    assert (entry.step, entry.fields) == (drift.step, drift.fields(stage))
    assert entry.action == drift.action
    assert writes(stage.azure.ledger()[since:]) == []


async def test_a_failed_cluster_is_written_once_whatever_else_is_switched_on_in_it(stage: Stage) -> None:
    azure_sets(CLUSTER, {"properties.provisioningState": "Failed"}).make(stage)
    found = await make_plan(spec_for(stage.azure), recorded=False)
    assert [step.step for step in found.changes] == ["cluster"]


def test_there_are_more_than_thirty() -> None:
    assert len(DRIFT) > 30
