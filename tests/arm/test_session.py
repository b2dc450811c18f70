"""Answers that no SDK client expects, through the real pipeline and the real clients."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio

from aks_postgres.arm.client import Azure, current_azure, open_azure
from aks_postgres.arm.error_codes import SERVER_TROUBLE, UNREADABLE, rule_for
from aks_postgres.arm.resource import arm_resource, look_at, sent
from aks_postgres.arm.responses import ArmFault
from aks_postgres.arm.retry import read, read_path, send
from aks_postgres.reports.journal import Journal, use_journal
from azure_sandbox.client import SandboxProcess

from ..conftest import without_lock

PAGE = "<html><head><title>Gateway</title></head><body>Try later</body></html>"

# One read and one write of every SDK client: they are of three generations and read answers in three ways.
READS: dict[str, Callable[[Azure], tuple[Any, ...]]] = {
    "resources": lambda c: (c.resources.resource_groups.get, "rg"),
    "identities": lambda c: (c.identities.user_assigned_identities.get, "rg", "mi"),
    "storage": lambda c: (c.storage.storage_accounts.get_properties, "rg", "account"),
    "authorization": lambda c: (c.authorization.role_assignments.get, "subscriptions/s", "name"),
    "dashboard": lambda c: (c.dashboard.grafana.get, "rg", "grafana"),
    "monitor": lambda c: (c.monitor.azure_monitor_workspaces.get, "rg", "amw"),
    "log_analytics": lambda c: (c.log_analytics.workspaces.get, "rg", "ala"),
    "container_service": lambda c: (c.container_service.managed_clusters.get, "rg", "aks"),
    "network": lambda c: (c.network.public_ip_addresses.get, "rg", "ip"),
}
WRITES: dict[str, Callable[[Azure], tuple[Any, ...]]] = {
    "resources": lambda c: (c.resources.resource_groups.create_or_update, "rg"),
    "identities": lambda c: (c.identities.user_assigned_identities.create_or_update, "rg", "mi"),
    "storage": lambda c: (c.storage.storage_accounts.begin_create, "rg", "account"),
    "dashboard": lambda c: (c.dashboard.grafana.begin_create, "rg", "grafana"),
    "monitor": lambda c: (c.monitor.azure_monitor_workspaces.create, "rg", "amw"),
    "log_analytics": lambda c: (c.log_analytics.workspaces.begin_create_or_update, "rg", "ala"),
    "container_service": lambda c: (c.container_service.managed_clusters.begin_create_or_update, "rg", "aks"),
    "network": lambda c: (c.network.public_ip_addresses.begin_create_or_update, "rg", "ip"),
}


@pytest_asyncio.fixture
async def opened(azure: SandboxProcess) -> AsyncIterator[Azure]:
    async with open_azure(azure.subscription_id) as found:
        without_lock()
        yield found


async def fault_of_read(opened: Azure, client: str) -> ArmFault:
    with pytest.raises(ArmFault) as caught:
        await send(*READS[client](opened))
    return caught.value


async def write(opened: Azure, client: str) -> Any:
    operation, *key = WRITES[client](opened)
    options = {"content_type": "application/json"} if operation.__name__.startswith("begin_") else {}
    return await sent(operation, *key, b'{"location": "canadacentral"}', **options)


async def fault_of_write(opened: Azure, client: str) -> ArmFault:
    with pytest.raises(ArmFault) as caught:
        await write(opened, client)
    return caught.value


@pytest.mark.parametrize("client", READS)
@pytest.mark.parametrize("page", [PAGE, ""])
async def test_a_gateways_page_in_place_of_an_error_is_trouble_that_passes(
    client: str, page: str, azure: SandboxProcess, opened: Azure
) -> None:
    azure.fault({"status": 502, "raw_body": page}, path="/subscriptions/")
    fault = await fault_of_read(opened, client)
    assert (fault.status, fault.code) == (502, "HTTP502")
    assert rule_for(fault) is SERVER_TROUBLE


@pytest.mark.parametrize("client", WRITES)
@pytest.mark.parametrize("page", [PAGE, ""])
async def test_a_gateways_page_in_answer_to_a_write_is_trouble_that_passes(
    client: str, page: str, azure: SandboxProcess, opened: Azure
) -> None:
    azure.fault(
        {"status": 503, "raw_body": page, "headers": {"Retry-After": "2"}},
        method="PUT",
        path="/subscriptions/",
    )
    fault = await fault_of_write(opened, client)
    assert (fault.status, fault.code, fault.retry_after_s) == (503, "HTTP503", 2)
    assert rule_for(fault) is SERVER_TROUBLE


@pytest.mark.parametrize("client", READS)
@pytest.mark.parametrize("page", [PAGE, '{"id": '])
async def test_a_page_with_status_200_is_no_resource(
    client: str, page: str, azure: SandboxProcess, opened: Azure
) -> None:
    azure.fault({"status": 200, "raw_body": page}, path="/subscriptions/")
    fault = await fault_of_read(opened, client)
    assert (fault.status, fault.code) == (None, "UnreadableAnswer")
    assert rule_for(fault) is UNREADABLE


@pytest.mark.parametrize("client", ["identities", "authorization", "monitor"])
async def test_json_that_a_client_cant_make_its_model_of_is_no_answer(
    client: str, azure: SandboxProcess, opened: Azure
) -> None:
    azure.fault({"status": 200, "raw_body": "[1]"}, path="/subscriptions/")
    assert (await fault_of_read(opened, client)).code == "UnreadableAnswer"


@pytest.mark.parametrize("client", WRITES)
async def test_a_page_with_status_200_doesnt_end_a_write(
    client: str, azure: SandboxProcess, opened: Azure
) -> None:
    azure.fault({"status": 200, "raw_body": PAGE}, method="PUT", path="/subscriptions/")
    fault = await fault_of_write(opened, client)
    assert (fault.status, fault.code, fault.reached) == (None, "UnreadableAnswer", True)
    assert rule_for(fault) is UNREADABLE


@pytest.mark.parametrize("client", READS)
async def test_an_empty_answer_is_no_resource_without_properties(
    client: str, azure: SandboxProcess, opened: Azure
) -> None:
    operation, *key = READS[client](opened)
    resource = arm_resource(current_azure(), "thing", "/id", operation, operation, *key)
    azure.fault({"status": 200, "raw_body": ""}, path="/subscriptions/")
    with pytest.raises(ArmFault, match="UnreadableAnswer"):
        await resource.get()


async def test_reading_goes_on_when_the_page_is_gone(azure: SandboxProcess, opened: Azure) -> None:
    azure.fault({"status": 200, "raw_body": PAGE}, method="GET", path="/resourceGroups/rg$", times=2)
    azure.fault({"status": 502, "raw_body": PAGE}, method="GET", path="/resourceGroups/rg$", nth=3, times=2)
    with use_journal(Journal()) as book:
        assert await read("resource group rg", opened.resources.resource_groups.get, "rg") is None
    assert [event.kind for event in book.events] == ["conflict"] * 4


async def test_what_isnt_there_is_none_whatever_is_missing_of_its_path(opened: Azure) -> None:
    for client in ("resources", "identities", "container_service"):
        operation, *key = READS[client](opened)
        assert (
            await look_at(arm_resource(current_azure(), "thing", "/id", operation, operation, *key)) is None
        )


@pytest.mark.parametrize("page", [PAGE, ""])
async def test_an_operations_status_may_be_a_page_for_a_moment(
    page: str, azure: SandboxProcess, opened: Azure
) -> None:
    azure.fault({"status": 502, "raw_body": page}, path="/providers$", times=2)
    answer = await read_path("providers", lambda: opened.get(f"{azure.subscription}/providers", "2021-04-01"))
    assert answer.body["value"]


async def test_a_token_that_expires_before_a_write_is_renewed_and_the_write_sent_once_more(
    azure: SandboxProcess, opened: Azure
) -> None:
    azure.fault({"expire_tokens": True}, method="PUT", path="/resourceGroups/rg$")
    with use_journal(Journal()) as book:
        answer = await write(opened, "resources")
    assert answer.status == 201
    assert [event.text for event in book.events] == ["the access token had expired; going on with a new one"]
    assert [entry["status"] for entry in azure.ledger(method="PUT", service="arm")] == [401, 201]


async def test_a_token_that_expires_before_an_operation_begins_is_renewed_too(
    azure: SandboxProcess, opened: Azure
) -> None:
    azure.fault({"expire_tokens": True}, method="PUT", path="/managedClusters/aks$")
    with use_journal(Journal()) as book:
        fault = await fault_of_write(opened, "container_service")
    assert (fault.status, fault.code) == (404, "ResourceGroupNotFound")
    assert [event.text for event in book.events] == ["the access token had expired; going on with a new one"]


@pytest.mark.usefixtures("journal")
@pytest.mark.parametrize("url", ["https://example.com/operation", "https://localhost.example.com/operation"])
async def test_the_token_goes_to_no_host_but_arm_s(url: str) -> None:
    with pytest.raises(ArmFault, match="the access token isn't sent there"):
        await current_azure().get(url)
