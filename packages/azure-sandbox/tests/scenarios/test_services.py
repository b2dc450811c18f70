"""Storage, addresses, logs and Grafana, met by plain SDK clients."""

from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError, ResourceExistsError
from azure.mgmt.loganalytics import LogAnalyticsManagementClient
from azure.mgmt.monitor import MonitorManagementClient
from azure.mgmt.network import NetworkManagementClient
from azure.mgmt.storage import StorageManagementClient

from azure_sandbox.client import SandboxProcess

from .conftest import ACCOUNT, GRAFANA, REGION

ADDRESS = {**REGION, "sku": {"name": "Standard"}, "properties": {"publicIPAllocationMethod": "Static"}}
CONTRIBUTOR = "ba92f5b4-2d11-453d-a403-e96b0029c9fe"


def test_storage_name_taken(order: Any, accounts: Any) -> None:
    order("storage-name-taken")
    asked = {"name": "acc1", "type": "Microsoft.Storage/storageAccounts"}
    assert accounts.check_name_availability(asked).reason == "AlreadyExists"
    with pytest.raises(ResourceExistsError) as caught:
        accounts.begin_create("rg-test", "acc1", ACCOUNT)
    assert caught.value.error.code == "StorageAccountAlreadyTaken"


def test_storage_account_busy(order: Any, accounts: Any) -> None:
    order("storage-account-busy")
    with pytest.raises(ResourceExistsError) as caught:
        accounts.begin_create("rg-test", "acc1", ACCOUNT)
    assert caught.value.error.code == "StorageAccountOperationInProgress"
    assert accounts.begin_create("rg-test", "acc1", ACCOUNT).result().name == "acc1"


def test_container_being_deleted(sandbox: SandboxProcess, order: Any, accounts: Any) -> None:
    order("container-being-deleted")
    accounts.begin_create("rg-test", "acc1", ACCOUNT).result()
    containers = sandbox.client(StorageManagementClient, retry_total=0).blob_containers
    for _ in range(3):
        with pytest.raises(ResourceExistsError) as caught:
            containers.create("rg-test", "acc1", "backups", {})
        assert caught.value.error.code == "ContainerBeingDeleted"
    assert containers.create("rg-test", "acc1", "backups", {}).name == "backups"


def test_zrs_missing(sandbox: SandboxProcess, order: Any, accounts: Any) -> None:
    order("zrs-missing")
    with pytest.raises(HttpResponseError) as caught:
        accounts.begin_create("rg-test", "acc1", ACCOUNT)
    assert caught.value.error.code == "RedundancyConfigurationNotAvailableInRegion"
    listed = {item.name for item in sandbox.client(StorageManagementClient).skus.list()}
    assert ("Standard_ZRS" in listed, "Standard_LRS" in listed) == (False, True)


def test_role_effect_late(sandbox: SandboxProcess, order: Any, accounts: Any) -> None:
    sandbox.settings(durations={"role_assignment_write": 0})
    order("role-effect-late")
    account = accounts.begin_create("rg-test", "acc1", ACCOUNT).result()
    sandbox.control("POST", "clock", {"speed": 1})
    name = "11111111-2222-3333-4444-555555555555"
    role = f"{sandbox.subscription}/providers/Microsoft.Authorization/roleDefinitions/{CONTRIBUTOR}"
    kind = "ServicePrincipal"
    body = {"properties": {"roleDefinitionId": role, "principalId": sandbox.object_id, "principalType": kind}}
    path = f"{account.id}/providers/Microsoft.Authorization/roleAssignments/{name}"
    assert sandbox.arm("PUT", path, body, api_version="2022-04-01").status_code == 201
    token = sandbox.token("https://storage.azure.com/.default")

    def create() -> Any:
        headers = {"Authorization": f"Bearer {token}", "x-ms-version": "2025-05-05"}
        return sandbox.http.put(f"{sandbox.endpoint}/blob/acc1/backups?restype=container", headers=headers)

    early = create()
    assert (early.status_code, early.headers["x-ms-error-code"]) == (403, "AuthorizationPermissionMismatch")
    sandbox.step(601)
    assert create().status_code == 201


def test_public_ip_quota(sandbox: SandboxProcess, order: Any, group: str) -> None:
    order("public-ip-quota")
    client = sandbox.client(NetworkManagementClient)
    with pytest.raises(HttpResponseError) as caught:
        client.public_ip_addresses.begin_create_or_update("rg-test", "ip", ADDRESS)
    assert (caught.value.status_code, caught.value.error.code) == (400, "PublicIPCountLimitReached")


def test_log_workspace_name_held(sandbox: SandboxProcess, order: Any, group: str) -> None:
    order("log-workspace-name-held")
    client = sandbox.client(LogAnalyticsManagementClient).workspaces
    with pytest.raises(ResourceExistsError) as caught:
        client.begin_create_or_update("rg-test", "ala-one", REGION)
    assert (caught.value.error.code, caught.value.error.target) == ("Conflict", "name")
    assert caught.value.error.message == "The workspace name 'ala-one' is not unique"


def test_log_tables_not_ready(sandbox: SandboxProcess, order: Any, group: str) -> None:
    order("log-tables-not-ready")
    sandbox.control("POST", "clock", {"speed": 1})
    sandbox.settings(durations={"data_collection_write": 0})
    logs = sandbox.client(LogAnalyticsManagementClient).workspaces
    logs.begin_create_or_update("rg-test", "ala-one", REGION, polling=False)
    sandbox.step(30)
    workspace = logs.get("rg-test", "ala-one")
    flow = {"streams": ["Microsoft-ContainerLogV2"], "destinations": ["logs"]}
    where = {"logAnalytics": [{"name": "logs", "workspaceResourceId": workspace.id}]}
    body = {**REGION, "properties": {"dataFlows": [flow], "destinations": where}}
    rules = sandbox.client(MonitorManagementClient).data_collection_rules
    with pytest.raises(HttpResponseError) as caught:
        rules.create("rg-test", "rule", body)
    assert caught.value.error.code == "InvalidPayload"
    assert [item.code for item in caught.value.error.details] == ["InvalidOutputTable"]
    sandbox.step(121)
    assert rules.create("rg-test", "rule", body).name == "rule"


def test_grafana_zone_redundancy(order: Any, grafanas: Any) -> None:
    order("grafana-zone-redundancy")
    wanted = {**GRAFANA, "properties": {"zoneRedundancy": "Enabled"}}
    with pytest.raises(HttpResponseError) as caught:
        grafanas.begin_create("rg-test", "graf-a", wanted)
    assert (caught.value.status_code, caught.value.error.code) == (400, "ZoneRedundancyNotSupported")
    assert grafanas.begin_create("rg-test", "graf-a", GRAFANA).result().name == "graf-a"


def test_grafana_slow(sandbox: SandboxProcess, order: Any, grafanas: Any) -> None:
    sandbox.control("POST", "clock", {"speed": 1})
    order("grafana-slow")
    grafanas.begin_create("rg-test", "graf-a", GRAFANA, polling=False)
    sandbox.step(1700)
    assert grafanas.get("rg-test", "graf-a").properties.provisioning_state == "Accepted"
    sandbox.step(101)
    assert grafanas.get("rg-test", "graf-a").properties.provisioning_state == "Succeeded"


def test_never_ends(sandbox: SandboxProcess, order: Any, grafanas: Any) -> None:
    order("never-ends")
    grafanas.begin_create("rg-test", "graf-a", GRAFANA, polling=False)
    sandbox.step(24 * 3600)
    assert grafanas.get("rg-test", "graf-a").properties.provisioning_state == "Accepted"


def test_poll_url_404(order: Any, grafanas: Any) -> None:
    order("poll-url-404")
    poller = grafanas.begin_create("rg-test", "graf-a", GRAFANA)
    with pytest.raises(HttpResponseError) as caught:
        poller.result()
    assert caught.value.status_code == 404
    while grafanas.get("rg-test", "graf-a").properties.provisioning_state == "Accepted":
        pass  # The resource itself says how it goes on.
    assert grafanas.get("rg-test", "graf-a").properties.provisioning_state == "Succeeded"


def test_poll_url_503(sandbox: SandboxProcess, order: Any, group: str) -> None:
    order("poll-url-503")
    client = sandbox.client(NetworkManagementClient, retry_backoff_factor=0, polling_interval=0.02)
    made = client.public_ip_addresses.begin_create_or_update("rg-test", "ip", ADDRESS).result()
    assert made.ip_address
    polls = [entry["status"] for entry in sandbox.ledger(operation="Operations_Poll")]
    assert polls[:2] == [503, 503]
    assert polls[-1] == 200


def test_poll_url_502(sandbox: SandboxProcess, order: Any, group: str) -> None:
    order("poll-url-502")
    client = sandbox.client(NetworkManagementClient, retry_backoff_factor=0, polling_interval=0.02)
    assert client.public_ip_addresses.begin_create_or_update("rg-test", "ip", ADDRESS).result().ip_address
    polls = [(poll["status"], poll["error_code"]) for poll in sandbox.ledger(operation="Operations_Poll")]
    assert polls[:2] == [(502, "BadGatewayConnection")] * 2
    assert polls[-1][0] == 200


def test_size_not_in_zones_shows_in_the_list_of_sizes(
    sandbox: SandboxProcess, order: Any, group: str
) -> None:
    order("size-not-in-zones")
    path = f"{sandbox.subscription}/providers/Microsoft.Compute/skus"
    listed = sandbox.arm("GET", f"{path}?$filter=location eq 'canadacentral'&api-version=2021-07-01").json()
    closed = {tuple(item["restrictions"][0]["restrictionInfo"]["zones"]) for item in listed["value"]}
    assert closed == {("3",)}
