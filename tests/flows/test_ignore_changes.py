"""A field that somebody else decides, such as a policy, is left alone by an entry of `ignore_changes`."""

import copy
import json
import re
from typing import Any

import pytest

from aks_postgres.arm.errors import LastingState
from aks_postgres.flows.plan import make_plan, make_view
from aks_postgres.flows.provision import provision
from aks_postgres.resources.kinds import plan_words
from aks_postgres.spec.environment import EnvironmentSpec
from aks_postgres.spec.ignore_changes import OWNED, IgnoredChanges
from aks_postgres.spec.spec_paths import resource_type

from ..cases import shown
from ..conftest import spec_for
from ..tasks.world import at, put_at
from .conftest import without_lock_traffic, writes
from .stage import (
    ACCOUNT,
    CLUSTER,
    ENDPOINT,
    GRAFANA,
    GROUP,
    IDENTITY,
    LOGS,
    LOGS_RULE,
    METRICS,
    METRICS_LINK,
    METRICS_RULE,
    POSTGRES,
    RULE_GROUPS,
    Stage,
)

pytestmark = pytest.mark.usefixtures("prefect_api")

LAST = "properties.policy.rules"
STORAGE = "2025-08-01"


def fewer_days(_: Stage, rules: Any) -> Any:
    (rule,) = copy.deepcopy(rules)
    put_at(rule, "definition.actions.version.delete.daysAfterCreationGreaterThan", 3)
    return [rule]


def the_other_rule(stage: Stage, _: Any) -> Any:
    return stage.id(LOGS_RULE)


# Resources, a field of theirs that a policy sets, its value, and the entry that leaves it alone.
CASES: dict[str, tuple[str, str, Any, str]] = {
    "Grafana": (
        GRAFANA,
        "properties.publicNetworkAccess",
        "Disabled",
        "Managed Grafana.monitoring.grafana_public_network_access",
    ),
    "resource groups": (GROUP, "tags.owner", "platform", "resource group.tags.owner"),
    "identities": (IDENTITY, "tags.owner", "platform", "managed identity.tags.owner"),
    "account": (
        ACCOUNT,
        "properties.allowBlobPublicAccess",
        True,
        "storage account.properties.allowBlobPublicAccess",
    ),
    "blob protection": (
        "blobServices/default",
        "properties.isVersioningEnabled",
        False,
        "blob protection.properties.isVersioningEnabled",
    ),
    "lifecycle": ("managementPolicies/default", LAST, fewer_days, f"lifecycle policy.{LAST}"),
    "metrics": (METRICS, "tags.owner", "platform", "Azure Monitor workspace.tags.owner"),
    "logs": (LOGS, "properties.retentionInDays", 90, "Log Analytics workspace.monitoring.log_retention_days"),
    "endpoint": (ENDPOINT, "tags.owner", "platform", "data collection endpoint.tags.owner"),
    "rules": (
        METRICS_RULE,
        "properties.description",
        "theirs",
        "data collection rule.properties.description",
    ),
    "associations": (
        METRICS_LINK,
        "properties.dataCollectionRuleId",
        the_other_rule,
        "data collection association.properties.dataCollectionRuleId",
    ),
    "rule groups": (RULE_GROUPS, "properties.interval", "PT5M", "Prometheus rule group.properties.interval"),
    "cluster": (CLUSTER, "sku.tier", "Free", "AKS cluster.cluster.tier"),
    "access": (
        CLUSTER,
        "properties.apiServerAccessProfile.authorizedIPRanges",
        ["20.51.7.9/32", "20.60.0.0/24"],
        "API server access.network.authorized_ip_ranges",
    ),
    "pool": (POSTGRES, "properties.maxCount", 4, "node pool.postgres_pool.max_count"),
}


def set_by_a_policy(stage: Stage, which: str, path: str, value: Any) -> None:
    """Have resources as a policy's remediation left them, and the policy in force."""
    below = which.endswith("/default")  # kept with its account, not as a resource of its own
    found = [] if below else stage.all(which)
    new = value
    for one in found:
        old = at(one["body"], path)
        new = value(stage, old) if callable(value) else value
        put_at(one["body"], path, new)
    stage.azure.control("PUT", "state", stage.state)
    kind = "Microsoft.Storage/storageAccounts/" + which.partition("/")[0] if below else found[0]["type"]
    if below:
        resource_id = f"{stage.id(ACCOUNT)}/{which}"
        body = stage.azure.arm("GET", resource_id, api_version=STORAGE).json()
        new = value(stage, at(body, path)) if callable(value) else value
        put_at(body, path, new)
        assert stage.azure.arm("PUT", resource_id, {"properties": body["properties"]}, api_version=STORAGE).ok
    stage.azure.settings(policies=[{"name": "ours", "type": kind, "modify": {path: new}}])


@pytest.mark.parametrize("name", shown(CASES, first=1))
async def test_what_a_policy_keeps_changing_is_left_alone_as_the_message_says(
    stage: Stage, name: str
) -> None:
    which, path, value, entry = CASES[name]
    set_by_a_policy(stage, which, path, value)
    with pytest.raises(LastingState) as refused:
        await provision(spec_for(stage.azure))
    offered = json.loads(re.findall(r"ignore_changes: (\[.*?\"\])", str(refused.value))[0])
    assert offered == [entry]

    spec = spec_for(stage.azure, ignore_changes=offered)
    await provision(spec)
    since = len(stage.azure.ledger())
    again = await provision(spec)
    assert {change.kind for change in again.changes.values()} == {"unchanged"}
    assert without_lock_traffic(writes(stage.azure.ledger()[since:])) == []
    assert (await make_plan(spec, recorded=False)).is_empty


@pytest.mark.parametrize(
    "entry", shown(["*.tags.owner", "Managed Grafana.tags.owner", "managed grafana.tags"], first=1)
)
async def test_an_ignored_field_is_not_written_along_with_another(stage: Stage, entry: str) -> None:
    """Of what is there; what is made anew gets it."""
    put_at(stage.one(GRAFANA), "tags.owner", "platform")
    put_at(stage.one(GRAFANA), "properties.apiKey", "Enabled")
    gone = stage.id(METRICS)
    stage.state["resources"] = [one for one in stage.state["resources"] if one["body"].get("id") != gone]
    stage.azure.control("PUT", "state", stage.state)
    spec = spec_for(stage.azure, ignore_changes=[entry])
    since = len(stage.azure.ledger())
    plan = await make_plan(spec, recorded=False)
    fields = {field.field for one in plan.resources for field in one.fields if one.id == stage.id(GRAFANA)}
    assert fields >= {"properties.apiKey"}
    assert "tags.owner" not in fields
    assert writes(stage.azure.ledger()[since:]) == []
    await provision(spec)
    live = stage.azure.arm("GET", stage.id(GRAFANA), api_version="2025-08-01").json()
    assert (live["properties"]["apiKey"], live["tags"]["owner"]) == ("Disabled", "platform")
    made = stage.azure.arm("GET", gone, api_version="2023-04-03").json()
    assert made["tags"]["owner"] == "user"


OFFERED = {
    "properties.zoneRedundancy": ("Disabled", "Managed Grafana.monitoring.grafana_zone_redundancy", "can't"),
    "properties.apiKey": ("Enabled", "Managed Grafana.properties.apiKey", "update"),
}


@pytest.mark.parametrize("path", shown(OFFERED, first=1))
async def test_a_plan_offers_it_where_the_spec_can_t_help(stage: Stage, path: str) -> None:
    """A field that Azure can't change, or that no field of the spec decides."""
    value, entry, action = OFFERED[path]
    put_at(stage.one(GRAFANA), path, value)
    stage.azure.control("PUT", "state", stage.state)
    (item,) = (await make_view(spec_for(stage.azure))).of("update", "can't")
    assert (item.action, item.also) == (action, (f'to leave it as it is: ignore_changes: ["{entry}"]',))
    assert (await make_view(spec_for(stage.azure, ignore_changes=[entry]))).is_empty


@pytest.mark.parametrize("entry", ["*.tags", "resource group.tags", "resource group.tags.owner"])
def test_the_tags_that_say_whose_it_is_are_never_left_alone(entry: str) -> None:
    ignored = IgnoredChanges(EnvironmentSpec(ignore_changes=[entry]))
    assert ignored.covers("rg-x", "tags.owner")
    for ours in ("managed-by", "aks-postgres-environment", "aks-postgres-state"):
        assert not ignored.covers("rg-x", f"tags.{ours}")


FULL: dict[str, Any] = {
    "cluster": {"tier": "Premium", "kubernetes_version": "1.35"},
    "system_pool": {"labels": {"team": "x"}},
    "storage": {"immutability_days": 3},
}


LOCKED_DOWN: dict[str, Any] = {
    "cluster": {"access": "entra"},
    "storage": {"shared_keys": "denied", "public_network_access": "disabled"},
    "monitoring": {"grafana_public_network_access": "disabled"},
}


async def compared(stage: Stage, spec: EnvironmentSpec, patch: pytest.MonkeyPatch) -> set[tuple[str, str]]:
    """Every place that any step compares: the resource's ID and ARM's path."""
    found: set[tuple[str, str]] = set()

    def covers(self: IgnoredChanges, resource_id: str, path: str) -> bool:
        found.add((resource_id, path))
        return False

    with patch.context() as patched:
        patched.setattr(IgnoredChanges, "covers", covers)
        await make_plan(spec, recorded=False)
    return found


async def test_every_field_that_a_step_compares_has_an_entry_and_no_entry_is_idle(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.azure.control("PUT", "state", stage.state)
    used: set[str] = set()
    for fields in ({}, FULL, LOCKED_DOWN):
        spec = spec_for(stage.azure, **fields)
        ignored = IgnoredChanges(spec)
        for resource_id, path in await compared(stage, spec, monkeypatch):
            if path.startswith(("tags.managed-by", "tags.aks-postgres-")):
                assert ignored.entry(resource_id, path) is None, path
                continue
            entry = ignored.entry(resource_id, path)
            assert entry, f"{resource_type(resource_id)}: {path}"
            assert IgnoredChanges(spec_for(stage.azure, **fields, ignore_changes=[entry])).covers(
                resource_id, path
            ), entry
            used.add(entry)
    assert {word for word, _, _ in OWNED} - {entry.partition(".")[0] for entry in used} <= {
        "immutability policy",  # of a container that can't be there: the plan stops at it
    }


def test_the_words_are_those_of_the_plan() -> None:
    for word, kind, _ in OWNED:
        if word not in ("node pool (system)", "API server access"):  # the cluster's parts in a plan
            assert plan_words()[kind][1] == word


WRONG = {
    "no resource": ("Grafna.tags.owner", "the resources are resource group, "),
    "no field": ("Managed Grafana.properties.colour", "those of Managed Grafana are region, "),
    "only a resource": ("Managed Grafana", "is no <resource>.<field>"),
    "nobody's field": ("*.properties.colour", "those of resources are region, "),
    "a tag of ours": ("resource group.tags.managed-by", "those of resource group are region, tags.owner"),
    "a tag that the spec hasn't": ("*.tags.team", "tags.owner"),
    "a pool that the spec hasn't": (
        "node pool (system).properties.agentPoolProfiles[other].maxCount",
        "system_pool.max_count",
    ),
    "an object's, not the field's": ("storage account.properties.minimumTlsVersion.x", "minimumTlsVersion"),
}


@pytest.mark.parametrize("name", WRONG)
def test_an_entry_that_means_nothing_is_refused_with_what_would(name: str) -> None:
    entry, words = WRONG[name]
    with pytest.raises(ValueError, match="ignore_changes") as refused:
        EnvironmentSpec(ignore_changes=[entry])
    assert entry in str(refused.value)
    assert words in str(refused.value)
