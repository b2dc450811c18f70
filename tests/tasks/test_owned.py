"""Whose a resource is: data in, words out."""

from typing import Any

import pytest

from aks_postgres.reports.outputs import Target
from aks_postgres.spec.environment import EnvironmentSpec
from aks_postgres.spec.names import Names, resource_tags
from aks_postgres.tear_down.ownership import foreign, foreign_backups

Json = dict[str, Any]

SPEC = EnvironmentSpec()
SUBSCRIPTION = "11111111-2222-3333-4444-555555555555"
SITE = Target(subscription_id=SUBSCRIPTION, generation=2, names=Names.of(SPEC, SUBSCRIPTION, 2))
NAMES = SITE.names


def listed(kind: str, name: str, group: str = "", tags: dict[str, str] | None = None) -> Json:
    found = {"id": SITE.resource_id(kind, name, group or None), "name": name, "type": kind}
    return found | ({} if tags == {} else {"tags": resource_tags(SPEC) if tags is None else tags})


MINE = [
    listed("Microsoft.ManagedIdentity/userAssignedIdentities", NAMES.identity),
    listed("Microsoft.Dashboard/grafana", NAMES.grafana),
    listed("microsoft.monitor/accounts", NAMES.monitor_workspace),
    listed("Microsoft.OperationalInsights/workspaces", NAMES.log_workspace.upper()),
    listed("Microsoft.ContainerService/managedClusters", NAMES.cluster),
    listed("Microsoft.Insights/dataCollectionEndpoints", NAMES.metrics_endpoint("canadacentral")),
    listed("Microsoft.Insights/dataCollectionRules", NAMES.metrics_rule("canadacentral")),
    listed("Microsoft.Insights/dataCollectionRules", NAMES.logs_rule("canadacentral")),
    listed("microsoft.alertsmanagement/prometheusrulegroups", NAMES.rule_group("NewRulesRuleGroup")),
]


def test_everything_that_provision_makes_is_ours_in_any_case() -> None:
    assert foreign(SPEC, SITE, MINE) == []


@pytest.mark.parametrize("mine", MINE, ids=lambda one: one["name"])
def test_our_name_without_our_tags_isnt_ours(mine: Json) -> None:
    theirs = resource_tags(EnvironmentSpec(name="other"))
    for tags in ({}, {"owner": "user"}, theirs):
        (problem,) = foreign(SPEC, SITE, [mine | {"tags": tags}])
        assert "has this environment's name but not its tags" in problem
        assert mine["name"] in problem


@pytest.mark.parametrize(
    "theirs",
    [
        listed("Microsoft.ManagedIdentity/userAssignedIdentities", f"{NAMES.identity}-2"),
        listed("Microsoft.Network/virtualNetworks", NAMES.identity),
        listed("Microsoft.AlertsManagement/prometheusRuleGroups", "their-rules"),
        listed("Microsoft.Storage/storageAccounts", NAMES.storage_account),
    ],
    ids=lambda one: one["name"],
)
def test_our_tags_on_what_we_dont_make_dont_make_it_ours(theirs: Json) -> None:
    (problem,) = foreign(SPEC, SITE, [*MINE, theirs])
    assert (
        f"{theirs['type']} {theirs['name']} in {NAMES.resource_group} isn't part of this environment"
        in problem
    )


def test_backups_in_the_environments_group_are_part_of_it() -> None:
    spec = EnvironmentSpec.model_validate({"storage": {"backups": "in_environment_group"}})
    names = Names.of(spec, SUBSCRIPTION, 2)
    site = SITE.model_copy(update={"names": names})
    account = listed("Microsoft.Storage/storageAccounts", names.storage_account)
    assert foreign(spec, site, [account]) == []


def test_beside_the_backups_nothing_but_their_account_is_ours() -> None:
    account = listed("Microsoft.Storage/storageAccounts", NAMES.storage_account, NAMES.backup_group)
    other = listed("Microsoft.Storage/storageAccounts", "archive", NAMES.backup_group)
    (problem,) = foreign_backups(SPEC, account["id"].upper(), [account, other])
    assert "archive in" in problem
    (untagged,) = foreign_backups(SPEC, account["id"], [account | {"tags": {}}])
    assert "not its tags" in untagged
