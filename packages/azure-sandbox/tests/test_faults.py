"""Faults to order: each kind, seen by a plain SDK client."""

from typing import Any

import pytest
from azure.core.exceptions import (
    ClientAuthenticationError,
    HttpResponseError,
    ResourceNotFoundError,
    ServiceResponseError,
)
from azure.mgmt.dashboard import DashboardManagementClient
from azure.mgmt.msi import ManagedServiceIdentityClient
from azure.mgmt.resource.resources import ResourceManagementClient

from azure_sandbox.client import SandboxProcess

BODY = {"location": "canadacentral"}
PUT_IDENTITY = "UserAssignedIdentities_CreateOrUpdate"
GRAFANA = {"location": "canadacentral", "sku": {"name": "Standard"}, "identity": {"type": "SystemAssigned"}}


def identities(sandbox: SandboxProcess, **options: int) -> ManagedServiceIdentityClient:
    client: ManagedServiceIdentityClient = sandbox.client(ManagedServiceIdentityClient, **options)
    return client


def test_a_status_instead_of_handling(sandbox: SandboxProcess, group: str) -> None:
    sandbox.fault(
        {"status": 418, "code": "Teapot", "message": "Short and stout.", "headers": {"x-tea": "green"}},
        operation=PUT_IDENTITY,
    )
    client = identities(sandbox)
    with pytest.raises(HttpResponseError) as caught:
        client.user_assigned_identities.create_or_update("rg-test", "mi-a", BODY)
    assert (caught.value.status_code, caught.value.error.code) == (418, "Teapot")
    assert caught.value.response.headers["x-tea"] == "green"
    with pytest.raises(ResourceNotFoundError):
        client.user_assigned_identities.get("rg-test", "mi-a")
    assert client.user_assigned_identities.create_or_update("rg-test", "mi-a", BODY).name == "mi-a"


def test_a_bare_error_body_and_a_raw_one(sandbox: SandboxProcess, group: str) -> None:
    sandbox.fault({"status": 400, "code": "BadRequest", "message": "No.", "bare": True}, path="rg-test$")
    bare = sandbox.arm("GET", group, api_version="2024-11-01").json()
    assert bare == {"code": "BadRequest", "details": None, "message": "No.", "subcode": ""}
    sandbox.fault({"status": 502, "raw_body": "<html>Bad Gateway</html>"}, path="rg-test$")
    raw = sandbox.arm("GET", group, api_version="2024-11-01")
    assert (raw.status_code, raw.text) == (502, "<html>Bad Gateway</html>")


def test_503_is_retried_by_the_sdk_as_often_as_it_is_ordered(sandbox: SandboxProcess, group: str) -> None:
    sandbox.fault({"status": 503, "code": "ServiceUnavailable"}, operation=PUT_IDENTITY, times=2)
    client = identities(sandbox, retry_backoff_factor=0)
    client.user_assigned_identities.create_or_update("rg-test", "mi-a", BODY)
    assert [entry["status"] for entry in sandbox.ledger(operation=PUT_IDENTITY)] == [503, 503, 201]


def test_the_nth_call_only(sandbox: SandboxProcess, group: str) -> None:
    sandbox.fault({"status": 500}, operation="ResourceGroups_Get", nth=3)
    seen = [sandbox.arm("GET", group, api_version="2024-11-01").status_code for _ in range(4)]
    assert seen == [200, 200, 500, 200]


def test_a_rate_with_a_seed_hits_the_same_calls_each_time(sandbox: SandboxProcess, group: str) -> None:
    def run() -> list[int]:
        sandbox.control("DELETE", "faults")
        sandbox.fault({"status": 500}, operation="ResourceGroups_Get", rate=0.5, seed=3)
        return [sandbox.arm("GET", group, api_version="2024-11-01").status_code for _ in range(12)]

    first = run()
    assert first == run()
    assert {200, 500} == set(first)


def test_a_cut_before_leaves_nothing_and_a_cut_after_leaves_the_resource(
    sandbox: SandboxProcess, group: str
) -> None:
    client = identities(sandbox, retry_total=0)
    sandbox.fault({"cut": "before"}, operation=PUT_IDENTITY)
    with pytest.raises(ServiceResponseError):
        client.user_assigned_identities.create_or_update("rg-test", "mi-a", BODY)
    with pytest.raises(ResourceNotFoundError):
        client.user_assigned_identities.get("rg-test", "mi-a")
    sandbox.fault({"cut": "after"}, operation=PUT_IDENTITY)
    with pytest.raises(ServiceResponseError):
        client.user_assigned_identities.create_or_update("rg-test", "mi-a", BODY)
    assert client.user_assigned_identities.get("rg-test", "mi-a").name == "mi-a"
    cut = sandbox.ledger(operation=PUT_IDENTITY)
    assert [entry["status"] for entry in cut] == [None, None]


def test_a_delay_in_sandbox_seconds(sandbox: SandboxProcess, group: str) -> None:
    sandbox.fault({"delay_s": 100}, operation="ResourceGroups_Get")
    assert sandbox.arm("GET", group, api_version="2024-11-01").status_code == 200
    entry = sandbox.ledger(operation="ResourceGroups_Get")[-1]
    # 100 s at a speed of 1000, and not 100 real ones, however busy the machine is.
    assert 100 <= entry["duration_ms"] < 60_000


def test_an_operation_that_fails_for_good(sandbox: SandboxProcess, group: str) -> None:
    """The SDK raises with the status of the poll, 200, and the code inside the document."""
    sandbox.fault(
        {"operation_fails": {"code": "InternalError", "message": "Broken."}}, operation="Grafana_Create"
    )
    client = sandbox.client(DashboardManagementClient, polling_interval=0.05)
    with pytest.raises(HttpResponseError) as caught:
        client.grafana.begin_create("rg-test", "graf-a", GRAFANA).result()
    assert caught.value.status_code == 200
    assert caught.value.error.code == "InternalError"
    assert client.grafana.get("rg-test", "graf-a").properties.provisioning_state == "Failed"


def test_an_operation_that_fails_and_heals_by_itself(sandbox: SandboxProcess, group: str) -> None:
    """https://github.com/Azure/AKS/issues/2227"""
    sandbox.fault(
        {
            "operation_fails": {
                "code": "InternalError",
                "message": "Soon.",
                "then": "Succeeded",
                "after_s": 300,
            }
        },
        operation="Grafana_Create",
    )
    client = sandbox.client(DashboardManagementClient, polling_interval=0.05)
    with pytest.raises(HttpResponseError):
        client.grafana.begin_create("rg-test", "graf-a", GRAFANA).result()
    sandbox.step(301)
    assert client.grafana.get("rg-test", "graf-a").properties.provisioning_state == "Succeeded"


def test_an_operation_that_is_canceled(sandbox: SandboxProcess, group: str) -> None:
    sandbox.fault({"operation_canceled": True}, operation="Grafana_Create")
    client = sandbox.client(DashboardManagementClient, polling_interval=0.05)
    with pytest.raises(HttpResponseError) as caught:
        client.grafana.begin_create("rg-test", "graf-a", GRAFANA).result()
    assert "canceled by a later operation" in caught.value.message
    assert client.grafana.get("rg-test", "graf-a").properties.provisioning_state == "Canceled"


def test_an_operation_that_is_preempted_by_one_of_the_services_own(
    sandbox: SandboxProcess, group: str
) -> None:
    sandbox.fault({"operation_preempted": {"after_s": 50}}, operation="Grafana_Create")
    client = sandbox.client(DashboardManagementClient, polling_interval=0.05)
    with pytest.raises(HttpResponseError) as caught:
        client.grafana.begin_create("rg-test", "graf-a", GRAFANA).result()
    assert caught.value.error.code == "OperationPreempted"
    spontaneous = [item for item in sandbox.control("GET", "operations")["operations"] if item["spontaneous"]]
    assert len(spontaneous) == 1
    sandbox.step(51)
    assert client.grafana.get("rg-test", "graf-a").properties.provisioning_state == "Succeeded"


def test_succeeded_with_an_error_and_the_write_lost(sandbox: SandboxProcess, group: str) -> None:
    """https://github.com/Azure/azure-powershell/issues/23812: Succeeded and NotLatestOperation."""
    client = sandbox.client(DashboardManagementClient, polling_interval=0.05)
    client.grafana.begin_create("rg-test", "graf-a", GRAFANA).result()
    sandbox.fault({"operation_error_but_succeeds": {"applied": False}}, operation="Grafana_Create")
    changed = {**GRAFANA, "properties": {"apiKey": "Enabled"}}
    poller = client.grafana.begin_create("rg-test", "graf-a", changed)
    poller.result()
    assert poller.status() == "Succeeded"
    assert client.grafana.get("rg-test", "graf-a").properties.api_key == "Disabled"
    last = sandbox.control("GET", "operations")["operations"][-1]
    assert last["error"]["code"] == "NotLatestOperation"


def test_an_operation_that_never_ends(sandbox: SandboxProcess, group: str) -> None:
    sandbox.fault({"never_ends": True}, operation="Grafana_Create")
    client = sandbox.client(DashboardManagementClient, polling_interval=0.05)
    client.grafana.begin_create("rg-test", "graf-a", GRAFANA, polling=False)
    sandbox.step(100_000)
    assert client.grafana.get("rg-test", "graf-a").properties.provisioning_state == "Accepted"
    assert sandbox.control("GET", "operations")["operations"][-1]["ends_s"] is None


@pytest.mark.parametrize("status", [404, 503])
def test_a_poll_url_that_answers_with_an_error_some_times(
    sandbox: SandboxProcess, group: str, status: int
) -> None:
    """RPC contract: a 4xx or 5xx on the status URL means "could not read", not "operation failed"."""
    sandbox.fault({"poll": {"status": status, "times": 2}}, operation="Grafana_Create")
    client = sandbox.client(DashboardManagementClient, polling_interval=0.05, retry_backoff_factor=0)
    poller = client.grafana.begin_create("rg-test", "graf-a", GRAFANA)
    if status == 404:
        with pytest.raises(HttpResponseError) as caught:
            poller.result()
        assert caught.value.status_code == 404
    else:
        assert poller.result().name == "graf-a"
    sandbox.step(200)
    assert client.grafana.get("rg-test", "graf-a").properties.provisioning_state == "Succeeded"


def test_tokens_that_expire_mid_run(sandbox: SandboxProcess, group: str) -> None:
    """https://github.com/hashicorp/terraform-provider-azurerm/issues/20867"""
    credential = sandbox.credential()
    client = sandbox.client(ResourceManagementClient, credential)
    client.resource_groups.get("rg-test")
    sandbox.fault({"expire_tokens": True}, operation="ResourceGroups_Get")
    with pytest.raises(ClientAuthenticationError) as caught:
        client.resource_groups.get("rg-test")
    assert caught.value.error.code == "ExpiredAuthenticationToken"
    assert caught.value.response.headers["x-ms-failure-cause"] == "gateway"
    fresh = sandbox.client(ResourceManagementClient, sandbox.credential())
    assert fresh.resource_groups.get("rg-test").name == "rg-test"


def test_an_order_that_makes_no_sense_is_refused(sandbox: SandboxProcess) -> None:
    headers = {"x-sandbox-key": sandbox.description["control_key"]}
    orders: list[dict[str, Any]] = [
        {},
        {"do": {"status": 500}},
        {"operation": "x", "do": {"explode": 1}},
        {"operation": "x", "do": {"cut": "sideways"}},
        {"path": "(", "do": {"status": 500}},
    ]
    for order in orders:
        answer = sandbox.http.post(f"{sandbox.endpoint}/sandbox/faults", json=order, headers=headers)
        assert answer.status_code == 400, order
