"""What az does inside `aks create --enable-azure-monitor-metrics` and `enable-addons monitoring`: rules and groups.

Bodies of endpoint, rules and associations are in `resources`; switching both on is in `test_cluster_writes`.
"""

import pytest

from aks_postgres.arm.errors import AzureRefused, NotEffectiveYet

from .resources import tags
from .world import LONG_S, Json, World, at, lasting, put_at

API = "2022-06-01"
GROUPS_API = "2023-03-01"
PUT_GROUP = "PrometheusRuleGroups_CreateOrUpdate"
# The groups that az makes; what is recommended besides are alerts.
# https://github.com/Azure/azure-cli (command module acs, azuremonitormetrics)
TEMPLATES = (
    "NodeRecordingRulesRuleGroup",
    "KubernetesRecordingRulesRuleGroup",
    "UXRecordingRulesRuleGroup - ",
    "NodeRecordingRulesRuleGroup-Win",
    "NodeAndKubernetesRecordingRulesRuleGroup-Win",
    "UXRecordingRulesRuleGroup-Win - ",
)


def recommended(world: World) -> Json:
    """The rules that Azure recommends for the workspace, by template."""
    path = "/providers/microsoft.alertsManagement/alertRuleRecommendations"
    found = world.read(f"{world.made['monitor_workspace'].id}{path}", "2023-01-01-preview")["value"]
    return {
        one["name"]: one["properties"]["rulesArmTemplate"]["resources"][0]["properties"]["rules"]
        for one in found
    }


def group_id(world: World, template: str) -> str:
    return world.place.resource_id(
        "Microsoft.AlertsManagement/prometheusRuleGroups", f"{template}-{world.place.names.cluster}"
    )


async def test_recording_rules_are_made_and_those_for_windows_switched_off(world: World) -> None:
    made = await world.run("rule_groups")
    rules = recommended(world)
    assert set(rules) > set(TEMPLATES), "no alerts are recommended, so leaving them out proves nothing"
    assert {write["path"]: write["body"] for write in world.writes()} == {
        group_id(world, template): {
            "location": "canadacentral",
            "tags": tags(world),
            "properties": {
                "scopes": [world.made["monitor_workspace"].id, world.made["cluster"].id],
                "enabled": "-Win" not in template,
                "clusterName": world.place.names.cluster,
                "interval": "PT1M",
                "rules": rules[template],
            },
        }
        for template in TEMPLATES
    }
    assert made.change.kind == "created"
    assert set(made.names) == {f"{template}-{world.place.names.cluster}" for template in TEMPLATES}


async def test_rule_groups_that_match_are_left_alone(world: World) -> None:
    await world.run("rule_groups")
    world.change(group_id(world, TEMPLATES[0]), GROUPS_API, {"properties.description": "theirs"})
    again = await world.run("rule_groups")
    assert (world.writes(), again.change.kind) == ([], "unchanged")


async def test_a_rule_group_that_drifted_is_put_back_alone(world: World) -> None:
    await world.run("rule_groups")
    drifted = group_id(world, TEMPLATES[1])
    changes = {"properties.interval": "PT5M", "properties.description": "theirs", "tags.cost-center": "42"}
    theirs = world.change(drifted, GROUPS_API, changes)
    again = await world.run("rule_groups")
    (write,) = world.writes()
    assert write["path"] == drifted
    put_at(theirs, "properties.interval", "PT1M")
    assert lasting(world.read(drifted, GROUPS_API)) == lasting(theirs)
    assert [(one.field, one.old, one.new) for one in again.change.fields] == [
        (f"{TEMPLATES[1]}-{world.place.names.cluster}: properties.interval", "PT5M", "PT1M")
    ]


async def test_a_rule_that_somebody_edited_is_put_back(world: World) -> None:
    await world.run("rule_groups")
    drifted = group_id(world, TEMPLATES[2])
    ours = world.read(drifted, GROUPS_API)
    rules = [{**rule, "expression": "vector(1)"} for rule in ours["properties"]["rules"]]
    world.change(drifted, GROUPS_API, {"properties.rules": rules})
    await world.run("rule_groups")
    assert len(world.writes()) == 1
    assert lasting(world.read(drifted, GROUPS_API)) == lasting(ours)


async def test_no_recommendations_mean_no_groups(world: World) -> None:
    await world.prepare("cluster", "monitor_workspace")
    world.azure.fault(
        {"status": 200, "raw_body": '{"value": []}'}, operation="AlertRuleRecommendations_ListByResource"
    )
    made = await world.run("rule_groups")
    assert (world.writes(), made.names, made.change.kind) == ([], (), "unchanged")


async def test_one_refused_group_is_told_and_not_retried(world: World) -> None:
    await world.prepare("cluster", "monitor_workspace")
    world.azure.fault(
        {"status": 403, "code": "AuthorizationFailed"}, operation=PUT_GROUP, path=TEMPLATES[3], times=9
    )
    with pytest.raises(AzureRefused, match=f"rule group {TEMPLATES[3]}-.*AuthorizationFailed"):
        await world.run("rule_groups")
    assert len([write for write in world.writes() if write["status"] == 403]) == 1


async def test_lost_answers_are_looked_up(world: World) -> None:
    await world.prepare("cluster", "monitor_workspace")
    world.azure.fault({"cut": "after"}, operation=PUT_GROUP, times=3)
    made = await world.run("rule_groups")
    assert len(world.writes()) == len(TEMPLATES)
    assert len(made.change.fields) == len(TEMPLATES)


# Rules and associations.


async def test_tables_that_arent_there_yet_are_waited_for(world: World) -> None:
    """400 InvalidPayload with InvalidOutputTable inside: https://github.com/Azure/Azure-Sentinel/issues/12145"""
    world.azure.settings(durations={"log_workspace_tables_ready": LONG_S})
    await world.prepare("log_workspace")
    conflicts = world.when("conflict", lambda: world.azure.step(LONG_S))
    made = await world.run("logs_rule")
    statuses = [write["status"] for write in world.writes()]
    assert (set(statuses[:-1]), statuses[-1]) == ({400}, 200)
    assert "the new Log Analytics workspace's tables aren't ready yet" in conflicts[0]
    assert "InvalidOutputTable" in conflicts[0]
    assert made.change.kind == "created"


async def test_tables_that_never_come_end_the_step_as_temporary(world: World) -> None:
    world.azure.settings(durations={"log_workspace_tables_ready": LONG_S})
    await world.prepare("log_workspace")
    with pytest.raises(NotEffectiveYet, match="InvalidOutputTable"):
        await world.run("logs_rule")


async def test_another_invalid_payload_stops_at_once(world: World) -> None:
    await world.prepare("log_workspace")
    world.azure.fault(
        {"status": 400, "code": "InvalidPayload", "message": "Data collection rule is invalid"},
        operation="DataCollectionRules_Create",
        times=9,
    )
    with pytest.raises(AzureRefused, match="InvalidPayload"):
        await world.run("logs_rule")
    assert len(world.writes()) == 1


@pytest.mark.parametrize(
    ("step", "rule", "other"),
    [("metrics_association", "metrics_rule", "logs_rule"), ("logs_association", "logs_rule", "metrics_rule")],
)
async def test_an_association_with_another_rule_is_turned_to_ours(
    world: World, step: str, rule: str, other: str
) -> None:
    made = await world.run(step)
    await world.prepare(other)
    path = "properties.dataCollectionRuleId"
    theirs = world.change(made.id, API, {path: world.made[other].id, "properties.description": "theirs"})
    again = await world.run(step)
    ours = world.made[rule].id
    assert [(one.field, one.old, one.new) for one in again.change.fields] == [
        (path, at(theirs, path), ours),
    ]
    put_at(theirs, path, ours)
    assert lasting(world.read(made.id, API)) == lasting(theirs)


async def test_another_destination_that_somebody_added_stays(world: World) -> None:
    """Elements of a list that have names are ours one by one."""
    made = await world.run("metrics_rule")
    path = "properties.destinations.monitoringAccounts"
    ours = at(world.read(made.id, API), path)
    theirs = [*ours, {**ours[0], "name": "Theirs"}]
    world.change(made.id, API, {path: theirs})
    assert (await world.run("metrics_rule")).change.kind == "unchanged"
    world.change(made.id, API, {"properties.description": "drifted"})
    assert (await world.run("metrics_rule")).change.kind == "updated"
    assert at(world.read(made.id, API), path) == theirs
