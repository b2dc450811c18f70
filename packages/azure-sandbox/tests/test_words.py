"""Every service takes its words in any case and shows them in its own; and what azure.azcollection asks for."""

from typing import Any

import pytest
from azure.mgmt.loganalytics import LogAnalyticsManagementClient

from azure_sandbox.client import SandboxProcess
from azure_sandbox.core.words import as_written
from azure_sandbox.providers import authorization, dashboard, monitor, network, operational_insights, storage

from .conftest import body_with

BY_SERVICE = {
    module.__name__.rsplit(".", 1)[-1]: module.WORDS
    for module in (authorization, dashboard, monitor, network, operational_insights, storage)
}


@pytest.mark.parametrize(
    ("service", "path"), [(service, path) for service, words in BY_SERVICE.items() for path in words]
)
def test_words_are_taken_in_any_case(service: str, path: str) -> None:
    for word in BY_SERVICE[service][path]:
        for spelt in (word.lower(), word.upper()):
            sent = body_with(path, spelt)
            assert as_written(sent, BY_SERVICE[service]) == body_with(path, word)
            assert sent == body_with(path, spelt)
    assert as_written(body_with(path, "sideways"), BY_SERVICE[service]) == body_with(path, "sideways")


RESOURCES: dict[str, tuple[str, str, dict[str, Any], str, str]] = {
    "storage account": (
        "Microsoft.Storage/storageAccounts/wordsaccount",
        "2025-08-01",
        {
            "kind": "storagev2",
            "sku": {"name": "standard_zrs"},
            "properties": {"networkAcls": {"defaultAction": "deny"}},
        },
        "properties.networkAcls.defaultAction",
        "Deny",
    ),
    "Grafana": (
        "Microsoft.Dashboard/grafana/graf-words",
        "2025-08-01",
        {"identity": {"type": "systemassigned"}, "properties": {"apiKey": "enabled"}},
        "properties.apiKey",
        "Enabled",
    ),
    "address": (
        "Microsoft.Network/publicIPAddresses/pip",
        "2025-01-01",
        {"sku": {"name": "standard"}, "properties": {"publicIPAllocationMethod": "static"}},
        "properties.publicIPAllocationMethod",
        "Static",
    ),
    "Log Analytics workspace": (
        "Microsoft.OperationalInsights/workspaces/words",
        "2025-02-01",
        {"properties": {"sku": {"name": "pergb2018"}}},
        "properties.sku.name",
        "PerGB2018",
    ),
    "Azure Monitor workspace": (
        "Microsoft.Monitor/accounts/words",
        "2023-04-03",
        {"properties": {"publicNetworkAccess": "disabled"}},
        "properties.publicNetworkAccess",
        "Disabled",
    ),
}


@pytest.mark.parametrize("name", RESOURCES)
def test_a_resource_in_another_case_is_taken_and_shown_in_azures(
    sandbox: SandboxProcess, group: str, name: str
) -> None:
    """https://github.com/Azure/azure-resource-manager-rpc/blob/master/v1.0/common-api-contracts.md"""
    path, version, body, shown, word = RESOURCES[name]
    url = f"{group}/providers/{path}"
    for _ in range(2):
        answer = sandbox.arm("PUT", url, {"location": "canadacentral", **body}, api_version=version)
        assert answer.status_code in (200, 201, 202), answer.text
        sandbox.step(1000)
        found: Any = sandbox.arm("GET", url, api_version=version).json()
        for step in shown.split("."):
            found = found[step]
        assert found == word


def test_a_workspace_tells_its_packs_groups_and_usages(sandbox: SandboxProcess, group: str) -> None:
    """https://learn.microsoft.com/rest/api/loganalytics/intelligence-packs/list"""
    client = sandbox.client(LogAnalyticsManagementClient, polling_interval=0.05)
    client.workspaces.begin_create_or_update("rg-test", "ala-one", {"location": "canadacentral"}).result()

    def on() -> set[str]:
        return {pack.name for pack in client.intelligence_packs.list("rg-test", "ala-one") if pack.enabled}

    assert on() == {"LogManagement"}
    client.intelligence_packs.enable("rg-test", "ala-one", "ContainerInsights")
    assert on() == {"LogManagement", "ContainerInsights"}
    client.intelligence_packs.disable("rg-test", "ala-one", "containerinsights")
    assert on() == {"LogManagement"}
    assert list(client.management_groups.list("rg-test", "ala-one")) == []
    (usage,) = client.usages.list("rg-test", "ala-one")
    assert (usage.name.value, usage.current_value) == ("DataAnalyzed", 0)
    gone = sandbox.arm(
        "GET",
        f"{group}/providers/Microsoft.OperationalInsights/workspaces/none/usages",
        api_version="2020-08-01",
    )
    assert gone.status_code == 404


def test_orchestrators_are_the_versions_in_the_older_form(sandbox: SandboxProcess) -> None:
    """https://github.com/Azure/azure-rest-api-specs (containerservice, location.json of 2019-04-01)"""
    place = f"{sandbox.subscription}/providers/Microsoft.ContainerService/locations/canadacentral"
    answer = sandbox.arm("GET", f"{place}/orchestrators", api_version="2019-04-01")
    assert answer.status_code == 200
    listed = {
        version["orchestratorVersion"]: version["upgrades"]
        for version in answer.json()["properties"]["orchestrators"]
    }
    newer = sandbox.arm("GET", f"{place}/kubernetesVersions", api_version="2026-08-01").json()["values"]
    assert listed.keys() == {patch for minor in newer for patch in minor["patchVersions"]}
    for minor in newer:
        for patch, found in minor["patchVersions"].items():
            assert [version["orchestratorVersion"] for version in listed[patch]] == found["upgrades"]
