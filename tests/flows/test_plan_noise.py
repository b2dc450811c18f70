"""What changes by itself, or belongs to others, is no drift: the plan of a finished environment stays empty."""

from collections.abc import Callable
from typing import Any

import pytest

from aks_postgres.flows.plan import make_plan

from ..conftest import spec_for
from ..tasks.world import Json
from .conftest import writes
from .stage import (
    ACCOUNT,
    ADDRESS,
    API_VERSIONS,
    CLUSTER,
    GRAFANA,
    GROUP,
    IDENTITY,
    LINKS,
    LOGS,
    METRICS_RULE,
    NODE_RULES,
    POOLS,
    POSTGRES,
    RULE_GROUPS,
    RULES,
    SYSTEM,
    Change,
    Stage,
    azure,
    azure_adds,
    azure_sets,
    by_hand,
    delete,
    person_makes,
    person_patches,
    person_sets,
    put,
)
from .test_tear_down import give, lock

pytestmark = pytest.mark.thorough

BLOB_CONTRIBUTOR = "ba92f5b4"
OPERATOR = "/apis/apps/v1/namespaces/cnpg-system/deployments/cnpg-controller-manager"
WEBHOOKS = (
    "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/cnpg-mutating-webhook-configuration"
)


def lower(text: str) -> str:
    return text.lower()


def turned(items: list[Any]) -> list[Any]:
    return items[::-1]


def each(change: Callable[[Json], Json]) -> Callable[[list[Json]], list[Json]]:
    return lambda items: [change(item) for item in items]


def upgraded(*pools: str) -> Change:
    """A patch version of Kubernetes, by AKS's automatic upgrade: of the control plane, and of these pools."""

    def do(stage: Stage) -> None:
        for name in ("kubernetesVersion", "currentKubernetesVersion"):
            stage.one(CLUSTER)["properties"][name] = "1.35.9"
        for pool in pools:
            for name in ("orchestratorVersion", "currentOrchestratorVersion"):
                stage.one(pool)["properties"][name] = "1.35.9"

    return azure(do)


def pools_listed_the_other_way(stage: Stage) -> None:
    resources = stage.state["resources"]
    here, there = [resources.index(pool) for pool in stage.all(POOLS)]
    resources[here], resources[there] = resources[there], resources[here]


def cluster_s_identity_in_another_case(stage: Stage) -> None:
    identity = stage.one(CLUSTER)["identity"]
    identity["userAssignedIdentities"] = {
        key.lower(): value for key, value in identity["userAssignedIdentities"].items()
    }


def add_on_in_another_case(stage: Stage) -> None:
    """As AKS called it in older API versions."""
    profiles = stage.one(CLUSTER)["properties"]["addonProfiles"]
    profiles["omsAgent"] = profiles.pop("omsagent")


def roles_in_another_case(stage: Stage) -> None:
    for one in stage.all("roleAssignments/"):
        properties = one["body"]["properties"]
        properties["scope"] = properties["scope"].replace("resourceGroups", "resourcegroups")
        for name in ("roleDefinitionId", "principalId"):
            properties[name] = properties[name].upper()


def everything_inherits_a_tag(stage: Stage) -> None:
    for one in stage.state["resources"]:
        if one["body"].get("tags") is not None:
            one["body"]["tags"]["cost-center"] = "42"


def tag_names_in_another_case(stage: Stage) -> None:
    """ARM keeps the case in which a name came first."""
    for one in stage.state["resources"]:
        if "managed-by" in (one["body"].get("tags") or {}):
            one["body"]["tags"] = {name.title(): value for name, value in one["body"]["tags"].items()}


def a_role_anew(stage: Stage) -> None:
    """By the portal, which draws a role assignment's name at random."""
    version, old = API_VERSIONS["roleAssignments"], stage.role(BLOB_CONTRIBUTOR)
    delete(stage.azure, old["id"], version)
    properties = {key: old["properties"][key] for key in ("roleDefinitionId", "principalId", "principalType")}
    name = "33333333-3333-3333-3333-333333333333"
    put(stage.azure, f"{old['id'].rpartition('/')[0]}/{name}", version, {"properties": properties})


def a_role_of_theirs(stage: Stage) -> None:
    give(stage.azure, stage.id(ACCOUNT), stage.azure.object_id, "22222222-2222-2222-2222-222222222222")


def rules_of_theirs(stage: Stage) -> None:
    body = stage.one(NODE_RULES)
    theirs = {"location": body["location"], "properties": body["properties"]}
    put(stage.azure, f"{body['id'].rpartition('/')[0]}/theirs", API_VERSIONS["prometheusRuleGroups"], theirs)


NOISE: dict[str, Change] = {
    # The autoscaler.
    "nodes of the postgres pool": azure_sets(POSTGRES, {"properties.count": 5}),
    "nodes of the system pool": azure_sets(SYSTEM, {"properties.count": 2}),
    # AKS.
    "patch version": upgraded(SYSTEM, POSTGRES),
    "patch version of the spec's minor version": upgraded(SYSTEM, POSTGRES),
    "patch version beyond the spec's": upgraded(SYSTEM, POSTGRES),
    "patch version of the control plane only": upgraded(),
    "node image": azure_sets(
        POOLS, {"properties.nodeImageVersion": "AKSUbuntu-2404gen2containerd-202701.01.0"}
    ),
    "new fields of pools": azure_adds(
        POOLS, "properties", {"gpuProfile": {"driver": "None"}, "spotMaxPrice": None}
    ),
    "new fields of the cluster": azure_adds(
        CLUSTER,
        "properties",
        {"ingressProfile": {"webAppRouting": None}, "autoScalerProfile": {"expander": "random"}},
    ),
    "order of the pools": azure(pools_listed_the_other_way),
    "order of the zones": azure_sets(POOLS, {"properties.availabilityZones": turned}),
    "order of the authorized ranges": azure_sets(
        CLUSTER, {"properties.apiServerAccessProfile.authorizedIPRanges": ["20.60.1.0/24", "20.51.7.0/24"]}
    ),
    "an authorized address without its /32": azure_sets(
        CLUSTER, {"properties.apiServerAccessProfile.authorizedIPRanges": ["20.51.7.9"]}
    ),
    "case of the VM size": azure_sets(POOLS, {"properties.vmSize": "standard_d4s_v5"}),
    "case of the cluster's identity": azure(cluster_s_identity_in_another_case),
    "case of the add-on": azure(add_on_in_another_case),
    "case of the add-on's workspace": azure_sets(
        CLUSTER, {"properties.addonProfiles.omsagent.config.logAnalyticsWorkspaceResourceID": lower}
    ),
    "the cloud controller's address": azure_sets(
        ADDRESS,
        {
            "tags": {"k8s-azure-service": "cnpg-database/pg"},
            "properties.dnsSettings": {"domainNameLabel": "pg"},
            "properties.idleTimeoutInMinutes": 30,
        },
    ),
    # Azure's other services.
    "region as the portal writes it": azure_sets(LOGS, {"location": "Canada Central"}),
    "Grafana's new version": azure_sets(
        GRAFANA, {"properties.grafanaVersion": "12.0.1", "properties.grafanaMajorVersion": "12"}
    ),
    "case of Grafana's link": azure_sets(
        GRAFANA,
        {
            "properties.grafanaIntegrations.azureMonitorWorkspaceIntegrations": each(
                lambda link: {key: value.lower() for key, value in link.items()}
            )
        },
    ),
    "case of the account's redundancy": azure_sets(ACCOUNT, {"sku.name": "standard_zrs"}),
    "case of the log workspace's plan": azure_sets(LOGS, {"properties.sku.name": "pergb2018"}),
    "order and case of the rule groups' scopes": azure_sets(
        RULE_GROUPS, {"properties.scopes": lambda ids: turned([lower(one) for one in ids])}
    ),
    "new fields of recording rules": azure_sets(
        RULE_GROUPS, {"properties.rules": each(lambda rule: {**rule, "enabled": True, "labels": {}})}
    ),
    "new fields of data collection rules": azure_adds(
        RULES, "properties", {"agentSettings": None, "references": {}}
    ),
    "new fields of data flows": azure_sets(
        RULES, {"properties.dataFlows": each(lambda flow: {**flow, "transformKql": "source"})}
    ),
    "empty fields left out": azure_sets(
        METRICS_RULE,
        {
            "properties.dataSources.prometheusForwarder": each(
                lambda source: {key: value for key, value in source.items() if value}
            )
        },
    ),
    "case of the associations' rules": azure_sets(LINKS, {"properties.dataCollectionRuleId": lower}),
    "case of role assignments": azure(roles_in_another_case),
    # Policies.
    "a tag that everything inherits": azure(everything_inherits_a_tag),
    "case of tag names": azure(tag_names_in_another_case),
    "Defender": azure_adds(
        CLUSTER, "properties.securityProfile", {"defender": {"securityMonitoring": {"enabled": True}}}
    ),
    "the policy add-on": azure_adds(CLUSTER, "properties.addonProfiles", {"azurepolicy": {"enabled": True}}),
    "no shared keys": azure_adds(ACCOUNT, "properties", {"allowSharedKeyAccess": False}),
    "a newer TLS": azure_sets(ACCOUNT, {"properties.minimumTlsVersion": "TLS1_3"}),
    # Earlier runs of ours.
    "an older version of this product": azure_sets(GROUP, {"tags.aks-postgres-version": "0.0.1"}),
    # Other people.
    "a tag of theirs on the group": person_sets(GROUP, {"tags.theirs": "yes"}),
    "an upgrade channel": person_sets(
        CLUSTER, {"properties.autoUpgradeProfile": {"upgradeChannel": "patch"}}
    ),
    "more node labels": person_sets(
        POSTGRES, {"properties.nodeLabels": {"workload": "postgres", "their": "label"}}
    ),
    "a daily cap of logs": person_sets(LOGS, {"properties.workspaceCapping": {"dailyQuotaGb": 5}}),
    "a pool of theirs": person_makes(
        CLUSTER,
        "/agentPools/theirs",
        API_VERSIONS["agentPools"],
        {"properties": {"count": 1, "vmSize": "Standard_D4s_v5", "mode": "User"}},
    ),
    "rules of theirs": by_hand(rules_of_theirs),
    "a federated credential": person_makes(
        IDENTITY,
        "/federatedIdentityCredentials/postgres",
        API_VERSIONS["userAssignedIdentities"],
        {
            "properties": {
                "issuer": "https://issuer/",
                "subject": "system:serviceaccount:cnpg-database:postgres",
                "audiences": ["api://AzureADTokenExchange"],
            }
        },
    ),
    "a lock": person_makes(
        GROUP, "/providers/Microsoft.Authorization/locks/keep", "2020-05-01", lock("CanNotDelete")
    ),
    "a role of theirs": by_hand(a_role_of_theirs),
    "a role of ours made anew": by_hand(a_role_anew),
    "labels of a namespace": person_patches(
        "/api/v1/namespaces/cnpg-database",
        {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}},
    ),
    "the operator restarted": person_patches(
        OPERATOR,
        {"spec": {"template": {"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": "now"}}}}},
    ),
}

# What the spec says besides its defaults.
SPECS: dict[str, Json] = {
    "patch version of the spec's minor version": {"cluster": {"kubernetes_version": "1.35"}},
    "patch version beyond the spec's": {"cluster": {"kubernetes_version": "1.35.4"}},
    "patch version of the control plane only": {"cluster": {"kubernetes_version": "1.35"}},
    "order of the authorized ranges": {"network": {"authorized_ip_ranges": ["20.51.7.0/24", "20.60.1.0/24"]}},
}


@pytest.mark.parametrize("what", NOISE)
async def test_it_is_no_drift(stage: Stage, what: str) -> None:
    NOISE[what].make(stage)
    since = len(stage.azure.ledger())
    found = await make_plan(spec_for(stage.azure, **SPECS.get(what, {})), recorded=False)
    assert [step for step in found.steps if step.action != "nothing"] == []
    assert writes(stage.azure.ledger()[since:]) == []


def test_there_are_more_than_forty() -> None:
    assert len(NOISE) > 40
