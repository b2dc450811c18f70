"""What AKS does, met by plain SDK clients."""

from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError, ResourceExistsError

from azure_sandbox.client import SandboxProcess

from .conftest import CLUSTER, POOL, Aks


def test_aks_throttled(order: Any, aks: Aks) -> None:
    order("aks-throttled")
    with pytest.raises(HttpResponseError) as caught:
        aks.begin_create()
    assert (caught.value.status_code, caught.value.error.code) == (429, "Throttled")
    assert caught.value.response.headers["x-ms-retry-after-ms"] == "60"  # 60 s at a speed of 1000.
    assert "error" not in caught.value.response.json()  # AKS's errors have no wrapper.
    assert aks.create().name == "c1"


def refused_twice(aks: Aks, status: int, code: str) -> None:
    for _ in range(2):
        with pytest.raises(HttpResponseError) as caught:
            aks.begin_create()
        assert (caught.value.status_code, caught.value.error.code) == (status, code)
    assert aks.create().name == "c1"


def test_identity_operation_throttled(order: Any, aks: Aks) -> None:
    order("identity-operation-throttled")
    refused_twice(aks, 429, "FailedIdentityOperation")


def test_virtual_network_not_read(order: Any, aks: Aks) -> None:
    order("virtual-network-not-read")
    refused_twice(aks, 500, "GetVnetError")


def test_cluster_busy(order: Any, aks: Aks) -> None:
    aks.create()
    order("cluster-busy")
    for _ in range(2):
        with pytest.raises(ResourceExistsError) as caught:
            aks.begin_pool()
        assert caught.value.error.code == "OperationNotAllowed"
        assert "Another operation (Updating) is in progress" in caught.value.message
    assert aks.begin_pool().result().name == "postgres"


def test_pool_busy_by_itself(sandbox: SandboxProcess, order: Any, aks: Aks) -> None:
    order("pool-busy-by-itself")
    aks.create_step_by_step()
    sandbox.step(15)
    with pytest.raises(ResourceExistsError) as caught:
        aks.begin_pool()
    assert "is in progress" in caught.value.message
    spontaneous = [item for item in sandbox.control("GET", "operations")["operations"] if item["spontaneous"]]
    assert spontaneous
    sandbox.step(301)
    aks.begin_pool()


def test_etag_mismatch(order: Any, aks: Aks) -> None:
    order("etag-mismatch")
    with pytest.raises(ResourceExistsError) as caught:
        aks.begin_create()
    assert (caught.value.status_code, caught.value.error.code) == (409, "EtagMismatch")
    assert caught.value.error.details[0].message.endswith("Etag mismatched")
    assert aks.create().name == "c1"


def test_create_fails_for_good(order: Any, aks: Aks) -> None:
    order("create-fails-for-good")
    for _ in range(2):  # The same write again ends no better.
        with pytest.raises(HttpResponseError) as caught:
            aks.create()
        assert (caught.value.status_code, caught.value.error.code) == (200, "ZonalAllocationFailed")
        assert aks.state == "Failed"


def test_failed_then_succeeded(sandbox: SandboxProcess, order: Any, aks: Aks) -> None:
    order("failed-then-succeeded")
    with pytest.raises(HttpResponseError) as caught:
        aks.create()
    assert caught.value.error.code == "CreateVMSSAgentPoolFailed"
    sandbox.step(301)
    assert aks.state == "Succeeded"


def test_canceled(order: Any, aks: Aks) -> None:
    order("canceled")
    with pytest.raises(HttpResponseError) as caught:
        aks.create()
    assert "canceled by a later operation" in caught.value.message
    assert aks.state == "Canceled"
    aks.create()
    assert aks.state == "Succeeded"


def test_pre_empted(sandbox: SandboxProcess, order: Any, aks: Aks) -> None:
    aks.create()
    order("pre-empted")
    with pytest.raises(HttpResponseError) as caught:
        aks.begin_create(tags={"a": "b"}).result()
    assert caught.value.error.code == "AKSOperationPreempted"
    sandbox.step(31)
    assert (aks.state, aks.get().tags) == ("Succeeded", None)
    aks.begin_create(tags={"a": "b"}).result()
    assert aks.get().tags == {"a": "b"}


def test_succeeded_with_not_latest_operation(sandbox: SandboxProcess, order: Any, aks: Aks) -> None:
    order("succeeded-with-not-latest-operation")
    aks.create()
    poller = aks.begin_create(tags={"a": "b"})
    poller.result()
    assert poller.status() == "Succeeded"
    assert aks.get().tags is None  # The write is lost.
    last = sandbox.control("GET", "operations")["operations"][-1]
    assert (last["status"], last["error"]["code"]) == ("Succeeded", "NotLatestOperation")


def test_old_etag_in_the_operation(order: Any, aks: Aks) -> None:
    order("old-etag-in-the-operation")
    aks.create()
    with pytest.raises(HttpResponseError) as caught:
        aks.begin_create(tags={"a": "b"}).result()
    assert caught.value.error.code == "ResourceOperationFailure"
    assert [item.code for item in caught.value.error.details] == ["OriginalEtagNotExpect"]
    assert aks.state == "Failed"
    aks.begin_create(tags={"a": "b"}).result()
    assert aks.state == "Succeeded"


def test_quota_exceeded(order: Any, aks: Aks) -> None:
    order("quota-exceeded")
    with pytest.raises(HttpResponseError) as caught:
        aks.begin_create()
    assert (caught.value.status_code, caught.value.error.code) == (400, "ErrCode_InsufficientVCPUQuota")
    assert "requested 12, remaining 8 for family standardDSv5Family" in caught.value.message


def test_size_not_in_zones(order: Any, aks: Aks) -> None:
    order("size-not-in-zones")
    with pytest.raises(HttpResponseError) as caught:
        aks.begin_create()
    assert (caught.value.status_code, caught.value.error.code) == (400, "AvailabilityZoneNotSupported")
    assert "The zone(s) '3' for resource 'systempool' is not supported" in caught.value.message


def test_size_not_allowed(order: Any, aks: Aks) -> None:
    order("size-not-allowed")
    with pytest.raises(HttpResponseError) as caught:
        aks.begin_create()
    assert caught.value.status_code == 400
    assert f"The VM size of {POOL['vmSize']} is not allowed in your subscription" in caught.value.message


def test_k8s_version_lts_only(order: Any, aks: Aks) -> None:
    order("k8s-version-lts-only")
    with pytest.raises(HttpResponseError) as caught:
        aks.begin_create()
    assert (caught.value.status_code, caught.value.error.code) == (400, "K8sVersionNotSupported")
    assert "Managed cluster c1 is on a version which is only available" in caught.value.message


def _send_if_match(sandbox: SandboxProcess, aks: Aks) -> dict[str, int]:
    """Statuses of a write with the current eTag in either form."""
    found = {}
    for name, form in (("bare", "{}"), ("quoted", '"{}"')):
        live = sandbox.arm("GET", aks.get().id, api_version="2026-08-01").json()
        headers = {"If-Match": form.format(live["eTag"])}
        answer = sandbox.arm("PUT", live["id"], live, api_version="2026-08-01", headers=headers)
        found[name] = answer.status_code
        if answer.status_code == 412:
            assert answer.json()["code"] == "PreconditionFailed"
        sandbox.step(100)
    return found


def test_if_match_bare_only(sandbox: SandboxProcess, order: Any, aks: Aks) -> None:
    aks.create()
    assert _send_if_match(sandbox, aks) == {"bare": 200, "quoted": 200}
    order("if-match-bare-only")
    assert _send_if_match(sandbox, aks) == {"bare": 200, "quoted": 412}


def test_if_match_quoted_only(sandbox: SandboxProcess, order: Any, aks: Aks) -> None:
    aks.create()
    order("if-match-quoted-only")
    assert _send_if_match(sandbox, aks) == {"bare": 412, "quoted": 200}


def test_container_insights_shown_when_off(sandbox: SandboxProcess, order: Any, aks: Aks) -> None:
    def shown() -> Any:
        live = sandbox.arm("GET", aks.get().id, api_version="2026-08-01").json()
        return (live["properties"].get("azureMonitorProfile") or {}).get("containerInsights")

    aks.create()
    assert shown() is None
    order("container-insights-shown-when-off")
    assert shown() == {"enabled": False}


def test_error_while_in_progress(sandbox: SandboxProcess, order: Any, aks: Aks) -> None:
    order("error-while-in-progress")
    sandbox.control("POST", "clock", {"speed": 0.001})
    sandbox.settings(durations={"aks_cluster_create_answer": 0, "aks_write_answer": 0})
    first = aks.clusters.begin_create_or_update(
        "rg-test", "c1", CLUSTER, polling=False, cls=lambda pipeline, *_: pipeline.http_response
    ).result()
    path = first.headers["Azure-AsyncOperation"].removeprefix(sandbox.endpoint)

    words = []
    for step_s in (0, 12, 18, 26, 100):
        sandbox.step(step_s)
        document = sandbox.arm("GET", path).json()
        assert document["error"]["code"] == "ReconcilePortalDNSError"
        words.append(document["status"])
    assert words[0] == "InProgress"
    assert words[1] == "ProvisioningControlPlane"
    assert words[2] == "CreatingAgentPools: 1/3 nodes completed"
    assert words[3:] == ["ReconcilingAddons", "Succeeded"]
    assert aks.state == "Succeeded"


def test_start_without_capacity(sandbox: SandboxProcess, order: Any, aks: Any) -> None:
    aks.create()
    stopping = aks.clusters.begin_stop("rg-test", "c1")
    sandbox.step(1000)
    stopping.result()
    order("start-without-capacity")
    starting = aks.clusters.begin_start("rg-test", "c1")
    sandbox.step(1000)
    with pytest.raises(HttpResponseError) as caught:
        starting.result()
    assert caught.value.error.code == "ZonalAllocationFailed"
    live = aks.get()
    assert (live.provisioning_state, live.power_state.code) == ("Failed", "Stopped")


def test_associations_refused_while_creating(sandbox: SandboxProcess, order: Any, aks: Aks) -> None:
    def associate() -> tuple[int, str]:
        path = f"{sandbox.subscription}/resourceGroups/rg-test/providers/Microsoft.ContainerService/managedClusters/c1"
        rule = f"{sandbox.subscription}/resourceGroups/rg-test/providers/Microsoft.Insights/dataCollectionRules/r"
        answer = sandbox.arm(
            "PUT",
            f"{path}/providers/Microsoft.Insights/dataCollectionRuleAssociations/a",
            {"properties": {"dataCollectionRuleId": rule}},
            api_version="2022-06-01",
        )
        return answer.status_code, answer.json()["error"]["code"]

    sandbox.control("POST", "clock", {"speed": 0.001})
    sandbox.settings(durations={"aks_cluster_create_answer": 0})
    aks.clusters.begin_create_or_update("rg-test", "c1", CLUSTER, polling=False)
    no_rule = (404, "NotFound")
    assert associate() == no_rule
    order("associations-refused-while-creating")
    assert associate() == (409, "ResourceNotProvisioned")
    sandbox.step(2000)
    assert associate() == no_rule
