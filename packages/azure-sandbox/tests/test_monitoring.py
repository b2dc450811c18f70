"""Log Analytics, Azure Monitor workspaces, data collection, rule groups and Grafana."""

from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError, ResourceExistsError
from azure.mgmt.dashboard import DashboardManagementClient
from azure.mgmt.loganalytics import LogAnalyticsManagementClient
from azure.mgmt.monitor import MonitorManagementClient

from azure_sandbox.client import SandboxProcess

BODY = {"location": "canadacentral"}
GRAFANA = {"location": "canadacentral", "sku": {"name": "Standard"}, "identity": {"type": "SystemAssigned"}}


@pytest.fixture
def monitor_workspace(sandbox: SandboxProcess, group: str) -> Any:
    path = f"{group}/providers/Microsoft.Monitor/accounts/amw-a"
    answer = sandbox.arm("PUT", path, BODY, api_version="2025-10-03")
    assert answer.status_code == 200
    return answer.json()


def test_a_log_workspace_is_201_creating_without_poll_headers(sandbox: SandboxProcess, group: str) -> None:
    """https://github.com/Azure/azure-cli (recording test_monitor_log_analytics_workspace_recover.yaml)"""
    sandbox.control("POST", "clock", {"speed": 1})
    path = f"{group}/providers/Microsoft.OperationalInsights/workspaces/ala-one"
    answer = sandbox.arm("PUT", path, BODY, api_version="2025-02-01")
    assert answer.status_code == 201
    assert answer.json()["properties"]["provisioningState"] == "Creating"
    assert not {"Location", "Azure-AsyncOperation", "Retry-After"} & set(answer.headers)
    sandbox.step(30)
    settled = sandbox.arm("GET", path, api_version="2025-02-01").json()
    assert settled["properties"]["provisioningState"] == "Succeeded"


def test_a_log_workspace_of_one_version_is_followed_by_its_location(
    sandbox: SandboxProcess, group: str
) -> None:
    sandbox.control("POST", "clock", {"speed": 0.001})
    path = f"{group}/providers/Microsoft.OperationalInsights/workspaces/ala-one"
    answer = sandbox.arm("PUT", path, BODY, api_version="2023-09-01")
    assert (answer.status_code, "Azure-AsyncOperation" in answer.headers) == (201, False)
    url = answer.headers["Location"].removeprefix(sandbox.endpoint)
    assert sandbox.arm("GET", url).status_code == 202
    sandbox.step(60)
    ended = sandbox.arm("GET", url)
    assert (ended.status_code, ended.json()["name"]) == (200, "ala-one")
    assert "Location" not in sandbox.arm("PUT", path, BODY, api_version="2023-09-01").headers


def test_a_deleted_log_workspace_comes_back_with_its_customer_id(sandbox: SandboxProcess, group: str) -> None:
    """https://learn.microsoft.com/azure/azure-monitor/logs/delete-workspace"""
    client = sandbox.client(LogAnalyticsManagementClient, polling_interval=0.05).workspaces
    first = client.begin_create_or_update("rg-test", "ala-one", BODY).result()
    client.begin_delete("rg-test", "ala-one").result()
    second = client.begin_create_or_update("rg-test", "ala-one", BODY).result()
    assert second.customer_id == first.customer_id
    client.begin_delete("rg-test", "ala-one", force=True).result()
    third = client.begin_create_or_update("rg-test", "ala-one", BODY).result()
    assert third.customer_id != first.customer_id


def test_a_soft_deleted_name_elsewhere_is_409_not_unique(sandbox: SandboxProcess, group: str) -> None:
    """https://github.com/Azure/azure-quickstart-templates/issues/5284"""
    client = sandbox.client(LogAnalyticsManagementClient, polling_interval=0.05).workspaces
    client.begin_create_or_update("rg-test", "ala-one", BODY).result()
    client.begin_delete("rg-test", "ala-one").result()
    with pytest.raises(ResourceExistsError) as caught:
        client.begin_create_or_update("rg-test", "ala-one", {"location": "eastus"})
    assert caught.value.error.code == "Conflict"
    assert caught.value.error.target == "name"
    sandbox.step(15 * 24 * 3600)
    assert client.begin_create_or_update("rg-test", "ala-one", {"location": "eastus"}).result()


def test_a_monitor_workspace_is_200_once_done_and_makes_its_protected_group(
    sandbox: SandboxProcess, group: str, monitor_workspace: Any
) -> None:
    """https://github.com/Azure/azure-powershell (Monitor recording AzMonitorWorkspace)"""
    properties = monitor_workspace["properties"]
    managed = f"{sandbox.subscription}/resourceGroups/MA_amw-a_canadacentral_managed"
    assert properties["provisioningState"] == "Succeeded"
    assert properties["defaultIngestionSettings"]["dataCollectionRuleResourceId"].startswith(managed)
    rules = sandbox.client(MonitorManagementClient).data_collection_rules
    assert rules.get("MA_amw-a_canadacentral_managed", "amw-a").name == "amw-a"
    touched = sandbox.arm("DELETE", managed, api_version="2024-11-01")
    assert touched.status_code == 403
    assert touched.json()["error"]["code"] == "DenyAssignmentAuthorizationFailed"
    entry = sandbox.ledger(operation="AzureMonitorWorkspaces_CreateOrUpdate")[-1]
    assert entry["duration_ms"] >= 10  # 10 s at a speed of 1000: the answer comes when it is done.


def test_a_monitor_workspaces_deletion_polls_and_takes_its_group(
    sandbox: SandboxProcess, group: str, monitor_workspace: Any
) -> None:
    client = sandbox.client(MonitorManagementClient)
    client.azure_monitor_workspaces.begin_delete("rg-test", "amw-a").result()
    ids = [item["id"] for item in sandbox.control("GET", "resources")["resources"]]
    assert ids == [group]


def rule_body(workspace: str) -> dict[str, Any]:
    stream = "Microsoft-ContainerInsights-Group-Default"
    return {
        "location": "canadacentral",
        "properties": {
            "dataFlows": [{"streams": [stream], "destinations": ["la-workspace"]}],
            "destinations": {"logAnalytics": [{"workspaceResourceId": workspace, "name": "la-workspace"}]},
        },
    }


def test_a_rule_on_a_fresh_workspace_is_refused_until_its_tables_are_ready(
    sandbox: SandboxProcess, group: str
) -> None:
    """https://github.com/Azure/Azure-Sentinel/issues/12145"""
    sandbox.control("POST", "clock", {"speed": 1})
    workspace = f"{group}/providers/Microsoft.OperationalInsights/workspaces/ala-one"
    sandbox.arm("PUT", workspace, BODY, api_version="2025-02-01")
    sandbox.step(30)
    path = f"{group}/providers/Microsoft.Insights/dataCollectionRules/MSCI-a"
    sandbox.settings(durations={"data_collection_write": 0})
    early = sandbox.arm("PUT", path, rule_body(workspace), api_version="2022-06-01")
    assert (early.status_code, early.json()["error"]["code"]) == (400, "InvalidPayload")
    assert early.json()["error"]["details"][0]["code"] == "InvalidOutputTable"
    sandbox.step(60)
    assert sandbox.arm("PUT", path, rule_body(workspace), api_version="2022-06-01").status_code == 200


def test_a_rule_cannot_be_deleted_while_it_is_associated(
    sandbox: SandboxProcess, group: str, monitor_workspace: Any
) -> None:
    """https://github.com/hashicorp/terraform-provider-azurerm/issues/24785"""
    client = sandbox.client(MonitorManagementClient)
    endpoint = client.data_collection_endpoints.create("rg-test", "dce-a", {**BODY, "kind": "Linux"})
    rule = client.data_collection_rules.create(
        "rg-test",
        "dcr-a",
        {
            **BODY,
            "properties": {
                "dataCollectionEndpointId": endpoint.id,
                "dataFlows": [{"streams": ["Microsoft-PrometheusMetrics"], "destinations": ["m"]}],
                "destinations": {
                    "monitoringAccounts": [{"accountResourceId": monitor_workspace["id"], "name": "m"}]
                },
            },
        },
    )
    associations = client.data_collection_rule_associations
    associations.create(monitor_workspace["id"], "assoc", {"properties": {"dataCollectionRuleId": rule.id}})
    assert [item.name for item in associations.list_by_rule("rg-test", "dcr-a")] == ["assoc"]
    assert [item.name for item in associations.list_by_resource(monitor_workspace["id"])] == ["assoc"]
    with pytest.raises(ResourceExistsError):
        client.data_collection_rules.delete("rg-test", "dcr-a")
    associations.delete(monitor_workspace["id"], "assoc")
    client.data_collection_rules.delete("rg-test", "dcr-a")
    client.data_collection_endpoints.delete("rg-test", "dce-a")


def test_a_new_endpoint_and_a_new_association_are_200(
    sandbox: SandboxProcess, group: str, monitor_workspace: Any
) -> None:
    """https://github.com/Azure/azure-cli (recordings of acs with azure monitor metrics)"""
    path = f"{group}/providers/Microsoft.Insights/dataCollectionEndpoints/dce-a"
    endpoint = sandbox.arm("PUT", path, {**BODY, "kind": "Linux", "properties": {}}, api_version="2022-06-01")
    assert endpoint.status_code == 200
    flow = {"streams": ["Microsoft-PrometheusMetrics"], "destinations": ["m"]}
    account = {"accountResourceId": monitor_workspace["id"], "name": "m"}
    properties = {
        "dataCollectionEndpointId": endpoint.json()["id"],
        "dataFlows": [flow],
        "destinations": {"monitoringAccounts": [account]},
    }
    rule = sandbox.arm(
        "PUT",
        f"{group}/providers/Microsoft.Insights/dataCollectionRules/dcr-a",
        {**BODY, "properties": properties},
        api_version="2022-06-01",
    )
    assert rule.status_code == 200
    association = sandbox.arm(
        "PUT",
        f"{monitor_workspace['id']}/providers/Microsoft.Insights/dataCollectionRuleAssociations/assoc",
        {"properties": {"dataCollectionRuleId": rule.json()["id"]}},
        api_version="2022-06-01",
    )
    assert association.status_code == 200


def test_a_recommended_rule_has_labels_and_an_expression_of_several_lines(
    sandbox: SandboxProcess, group: str, monitor_workspace: Any
) -> None:
    """https://github.com/Azure/azure-cli (recordings of acs with azure monitor metrics); stored as it came."""
    path = f"{monitor_workspace['id']}/providers/microsoft.alertsManagement/alertRuleRecommendations"
    templates = sandbox.arm("GET", path, api_version="2023-01-01-preview").json()["value"]
    rules = [
        rule
        for template in templates
        for rule in template["properties"]["rulesArmTemplate"]["resources"][0]["properties"]["rules"]
    ]
    (rule,) = [rule for rule in rules if rule.get("labels")]
    assert {"\n", "\t"} <= set(rule["expression"])
    body = {**BODY, "properties": {"scopes": [monitor_workspace["id"]], "rules": [rule]}}
    group_path = f"{group}/providers/Microsoft.AlertsManagement/prometheusRuleGroups/g"
    stored = sandbox.arm("PUT", group_path, body, api_version="2023-03-01").json()
    assert stored["properties"]["rules"] == [rule]


def test_recommendations_hold_recording_and_alert_templates_that_can_be_put(
    sandbox: SandboxProcess, group: str, monitor_workspace: Any
) -> None:
    path = f"{monitor_workspace['id'].lower()}/providers/microsoft.alertsManagement/alertRuleRecommendations"
    answer = sandbox.arm("GET", path, api_version="2023-01-01-preview")
    templates = answer.json()["value"]
    names = [item["name"] for item in templates]
    assert "NodeRecordingRulesRuleGroup" in names
    assert "KubernetesAlert-PodLevel" in names
    assert {"UXRecordingRulesRuleGroup - ", "UXRecordingRulesRuleGroup-Win - "} <= set(names)
    for template in templates:
        rules = template["properties"]["rulesArmTemplate"]["resources"][0]["properties"]["rules"]
        body = {
            **BODY,
            "properties": {"scopes": [monitor_workspace["id"]], "rules": rules, "interval": "PT1M"},
        }
        group_path = f"{group}/providers/Microsoft.AlertsManagement/prometheusRuleGroups/{template['name']}-c"
        assert sandbox.arm("PUT", group_path, body, api_version="2023-03-01").status_code == 200
    assert len(names) == 8


def test_a_rule_without_record_or_alert_is_400(
    sandbox: SandboxProcess, group: str, monitor_workspace: Any
) -> None:
    body = {**BODY, "properties": {"scopes": [monitor_workspace["id"]], "rules": [{"expression": "1"}]}}
    path = f"{group}/providers/Microsoft.AlertsManagement/prometheusRuleGroups/g"
    assert sandbox.arm("PUT", path, body, api_version="2023-03-01").status_code == 400


def test_grafana_is_201_accepted_with_identity_and_two_equal_headers_and_no_retry_after(
    sandbox: SandboxProcess, group: str
) -> None:
    """https://github.com/Azure/azure-powershell (Dashboard recording AzGrafana)"""
    sandbox.control("POST", "clock", {"speed": 1})
    path = f"{group}/providers/Microsoft.Dashboard/grafana/graf-a"
    answer = sandbox.arm("PUT", path, GRAFANA, api_version="2023-09-01")
    assert answer.status_code == 201
    assert answer.json()["properties"]["provisioningState"] == "Accepted"
    assert answer.json()["identity"]["principalId"]
    assert answer.json()["properties"]["endpoint"].rpartition("/")[2].startswith("graf-a-")
    assert answer.headers["Azure-AsyncOperation"] == answer.headers["Location"]
    assert "Retry-After" not in answer.headers
    poll = sandbox.arm("GET", answer.headers["Location"].removeprefix(sandbox.endpoint))
    assert (poll.status_code, poll.json()["status"]) == (200, "Accepted")
    busy = sandbox.arm("PATCH", path, {"tags": {}}, api_version="2023-09-01")
    assert busy.status_code == 409


def test_a_principal_can_be_sent_a_poll_interval_where_azure_sends_none(
    sandbox: SandboxProcess, group: str
) -> None:
    sandbox.settings(poll_interval_s={sandbox.description["client_id"]: 30})
    path = f"{group}/providers/Microsoft.Dashboard/grafana/graf-a"
    answer = sandbox.arm("PUT", path, GRAFANA, api_version="2023-09-01")
    assert answer.headers["x-ms-retry-after-ms"] == "30"  # 30 s at a speed of 1000.


def test_grafanas_operations_say_it_as_recorded(sandbox: SandboxProcess, group: str) -> None:
    """https://github.com/Azure/azure-cli-extensions (recording test_amg_crud.yaml)"""
    sandbox.control("POST", "clock", {"speed": 0.001})
    path = f"{group}/providers/Microsoft.Dashboard/grafana/graf-a"

    def documents(answer: Any) -> list[tuple[int, Any]]:
        url = answer.headers["Azure-AsyncOperation"].removeprefix(sandbox.endpoint)
        running = sandbox.arm("GET", url)
        sandbox.step(3000)
        ended = sandbox.arm("GET", url)
        keys = ("status", "error", "properties")
        return [
            (answer.status_code, {key: answer.json()[key] for key in keys if key in answer.json()})
            for answer in (running, ended)
        ]

    assert documents(sandbox.arm("PUT", path, GRAFANA, api_version="2023-09-01")) == [
        (200, {"status": "Accepted"}),
        (200, {"status": "Succeeded", "error": {}, "properties": None}),
    ]
    assert documents(sandbox.arm("DELETE", path, api_version="2023-09-01")) == [
        (202, {"status": "Deleting"}),
        (200, {"status": "Succeeded"}),
    ]


@pytest.mark.parametrize(("takes_time", "answer"), [(False, (200, "Succeeded")), (True, (202, "Updating"))])
def test_grafanas_patch_is_done_at_once_or_takes_time(
    sandbox: SandboxProcess, group: str, takes_time: bool, answer: tuple[int, str]
) -> None:
    """https://github.com/Azure/azure-cli-extensions (recordings of amg)"""
    path = f"{group}/providers/Microsoft.Dashboard/grafana/graf-a"
    sandbox.arm("PUT", path, GRAFANA, api_version="2023-09-01")
    sandbox.step(3000)
    sandbox.control("POST", "clock", {"speed": 0.001})
    sandbox.settings(grafana_patch_takes_time=takes_time)
    patched = sandbox.arm("PATCH", path, {"tags": {"a": "b"}}, api_version="2023-09-01")
    assert (patched.status_code, patched.json()["properties"]["provisioningState"]) == answer
    assert ("Azure-AsyncOperation" in patched.headers) is takes_time
    assert patched.json()["tags"] == {"a": "b"}


def test_grafanas_writes_answer_with_nulls_that_its_reads_leave_out(
    sandbox: SandboxProcess, group: str
) -> None:
    """https://github.com/Azure/azure-cli-extensions (recording test_amg_crud.yaml)"""
    path = f"{group}/providers/Microsoft.Dashboard/grafana/graf-a"
    names = {"outboundIPs", "enterpriseConfigurations"}
    made = sandbox.arm("PUT", path, GRAFANA, api_version="2023-09-01").json()["properties"]
    assert {name: made[name] for name in names} == dict.fromkeys(names)
    sandbox.step(3000)
    patched = sandbox.arm("PATCH", path, {"tags": {"a": "b"}}, api_version="2023-09-01").json()["properties"]
    assert {name: patched[name] for name in names} == dict.fromkeys(names)
    assert not names & sandbox.arm("GET", path, api_version="2023-09-01").json()["properties"].keys()


def test_grafana_is_patched_with_a_workspace_link_and_deleted(
    sandbox: SandboxProcess, group: str, monitor_workspace: Any
) -> None:
    client = sandbox.client(DashboardManagementClient, polling_interval=0.05).grafana
    client.begin_create("rg-test", "graf-a", GRAFANA).result()
    link = {"azureMonitorWorkspaceResourceId": monitor_workspace["id"]}
    changed = {"properties": {"grafanaIntegrations": {"azureMonitorWorkspaceIntegrations": [link]}}}
    updated = client.begin_update("rg-test", "graf-a", changed).result()
    (found,) = updated.properties.grafana_integrations.azure_monitor_workspace_integrations
    assert found.azure_monitor_workspace_resource_id == monitor_workspace["id"]
    again = client.begin_create("rg-test", "graf-a", GRAFANA).result()
    assert again.properties.grafana_integrations.azure_monitor_workspace_integrations == []
    client.begin_delete("rg-test", "graf-a").result()
    assert [item.name for item in client.list_by_resource_group("rg-test")] == []


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"location": "canadaeast"}, "ZoneRedundancyNotSupported"),
        ({"location": "australiasoutheast"}, "LocationNotAvailableForResourceType"),
    ],
)
def test_grafana_is_refused_where_it_or_its_redundancy_is_not_offered(
    sandbox: SandboxProcess, group: str, change: dict[str, Any], code: str
) -> None:
    """https://github.com/MicrosoftDocs/azure-docs/pull/128186"""
    body = {**GRAFANA, "properties": {"zoneRedundancy": "Enabled"}, **change}
    client = sandbox.client(DashboardManagementClient)
    with pytest.raises(HttpResponseError) as caught:
        client.grafana.begin_create("rg-test", "graf-a", body)
    assert caught.value.error.code == code


def test_grafanas_zone_redundancy_cannot_be_changed(sandbox: SandboxProcess, group: str) -> None:
    """https://learn.microsoft.com/azure/managed-grafana/how-to-enable-zone-redundancy"""
    client = sandbox.client(DashboardManagementClient, polling_interval=0.05).grafana
    client.begin_create("rg-test", "graf-a", GRAFANA).result()
    with pytest.raises(HttpResponseError) as caught:
        client.begin_create("rg-test", "graf-a", {**GRAFANA, "properties": {"zoneRedundancy": "Enabled"}})
    assert caught.value.error.code == "PropertyChangeNotAllowed"
