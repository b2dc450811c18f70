"""How AKS's operations end: ordered failures, aborts, deletions, throttling."""

import pytest
from azure.core.exceptions import HttpResponseError

CREATE = "ManagedClusters_CreateOrUpdate"


def states(azure):
    cluster = azure.clusters.get(azure.group, "c1")
    return cluster.provisioning_state, {pool.provisioning_state for pool in cluster.agent_pool_profiles}


def failed(poller):
    with pytest.raises(HttpResponseError) as caught:
        poller.result()
    assert caught.value.status_code == 200
    return caught.value.error


def test_a_failed_creation_leaves_a_failed_cluster_and_the_same_put_heals_it(azure):
    """error-code-requestdisallowedbypolicy: fix the cause, then the same PUT."""
    fails = {"code": "ZonalAllocationFailed", "message": "Allocation failed."}
    azure.order(CREATE, {"operation_fails": fails})
    poller = azure.begin_create()
    azure.step(600)
    assert failed(poller).code == "ZonalAllocationFailed"
    assert states(azure) == ("Failed", {"Failed"})
    poller = azure.begin_create()
    assert states(azure) == ("Updating", {"Updating"})
    azure.step(600)
    poller.result()
    assert states(azure) == ("Succeeded", {"Succeeded"})
    assert azure.kubeconfig()


def test_a_failed_cluster_may_heal_by_itself(azure):
    """AKS#1972: 'AKS will continuously retry'."""
    fails = {"code": "CreateVMSSAgentPoolFailed", "then": "Succeeded", "after_s": 300}
    azure.order(CREATE, {"operation_fails": fails})
    azure.begin_create()
    azure.step(600)
    assert states(azure) == ("Failed", {"Failed"})
    azure.step(301)
    assert states(azure) == ("Succeeded", {"Succeeded"})
    assert azure.clusters.get(azure.group, "c1").identity_profile


def test_a_canceled_update_leaves_a_canceled_cluster(azure):
    """terraform-provider-azurerm#8260."""
    azure.create()
    azure.order(CREATE, {"operation_canceled": True})
    poller = azure.update()
    azure.step(300)
    assert "canceled by a later operation" in failed(poller).message
    assert states(azure) == ("Canceled", {"Canceled"})


def test_a_preempted_write_is_lost_and_the_cluster_busy_with_something_else(azure):
    """error-code-operationpreempted."""
    azure.create()
    azure.order(CREATE, {"operation_preempted": True})
    cluster = azure.clusters.get(azure.group, "c1")
    cluster.tags = {"changed": "yes"}
    cluster.agent_pool_profiles[0].count = 5
    poller = azure.clusters.begin_create_or_update(azure.group, "c1", cluster)
    operation = azure.operations()[-1]
    azure.step(operation["ends_s"] - operation["started_s"] + 1)
    assert failed(poller).code == "AKSOperationPreempted"
    cluster = azure.clusters.get(azure.group, "c1")
    assert (cluster.provisioning_state, cluster.tags) == ("Updating", None)
    assert cluster.agent_pool_profiles[0].count == 3
    azure.step(60)
    assert states(azure) == ("Succeeded", {"Succeeded"})


def test_succeeded_with_not_latest_operation_may_have_lost_the_write(azure):
    """azure-powershell#23812 (raw)."""
    azure.create()
    azure.order(CREATE, {"operation_error_but_succeeds": {"applied": False}})
    poller = azure.update()
    azure.step(300)
    poller.result()
    assert azure.clusters.get(azure.group, "c1").tags is None
    assert states(azure) == ("Succeeded", {"Succeeded"})


def test_a_new_pool_whose_write_was_lost_isnt_there(azure):
    azure.create()
    azure.order("AgentPools_CreateOrUpdate", {"operation_error_but_succeeds": {"applied": False}})
    poller = azure.begin_pool()
    azure.step(1000)
    with pytest.raises(HttpResponseError) as lost:
        poller.result()
    assert lost.value.status_code == 404
    assert len(azure.clusters.get(azure.group, "c1").agent_pool_profiles) == 1
    azure.add_pool()
    assert len(azure.clusters.get(azure.group, "c1").agent_pool_profiles) == 2


def test_a_pool_can_fail_while_the_cluster_is_fine(azure):
    """cluster-api-provider-azure#2700."""
    azure.create()
    azure.order("AgentPools_CreateOrUpdate", {"operation_fails": {"code": "AllocationFailed"}})
    poller = azure.begin_pool()
    azure.step(600)
    assert failed(poller).code == "AllocationFailed"
    assert states(azure) == ("Succeeded", {"Succeeded", "Failed"})
    azure.add_pool()
    assert states(azure) == ("Succeeded", {"Succeeded"})


def test_a_policy_against_what_aks_makes_fails_its_operation(azure):
    """error-code-requestdisallowedbypolicy: inside the operation, healed by the same PUT.

    https://learn.microsoft.com/troubleshoot/azure/azure-kubernetes/create-upgrade-delete/error-code-requestdisallowedbypolicy
    """
    azure.set(policies=[{"name": "no-addresses", "type": "Microsoft.Network/publicIPAddresses"}])
    poller = azure.begin_create()
    azure.step(600)
    assert failed(poller).code == "RequestDisallowedByPolicy"
    assert states(azure) == ("Failed", {"Failed"})
    azure.set(policies=[])
    azure.create()
    assert states(azure) == ("Succeeded", {"Succeeded"})


def test_a_pools_operation_can_be_aborted(azure):
    """https://learn.microsoft.com/rest/api/aks/agent-pools/abort-latest-operation"""
    azure.create()
    azure.add_pool()
    azure.begin_pool(count=4)
    path = azure.cluster_path().replace("?", "/agentPools/postgres/abort?")
    assert azure.raw("POST", path)[0] == 202
    assert states(azure) == ("Succeeded", {"Succeeded", "Canceling"})
    azure.step(6)
    assert states(azure) == ("Succeeded", {"Succeeded", "Canceled"})


def test_an_operation_can_stay_in_progress(azure):
    azure.order(CREATE, {"never_ends": True})
    azure.begin_create()
    azure.step(36000)
    assert states(azure) == ("Creating", {"Creating"})


def test_an_abort_cancels_and_a_late_one_is_a_conflict(azure):
    """manage-abort-operations; 5 s and 204 at the end in azure-powershell's recording.

    https://learn.microsoft.com/rest/api/aks/managed-clusters/abort-latest-operation
    """
    azure.create()
    azure.update()
    path = azure.cluster_path().replace("?", "/abort?")
    status, _, headers = azure.raw("POST", path)
    assert status == 202
    assert headers["location"]
    assert headers["azure-asyncoperation"]
    assert azure.clusters.get(azure.group, "c1").provisioning_state == "Canceling"
    result = headers["location"].removeprefix(azure.endpoint)
    assert azure.raw("GET", result)[0] == 202
    azure.step(6)
    assert azure.raw("GET", result)[0] == 204
    assert azure.clusters.get(azure.group, "c1").provisioning_state == "Canceled"
    assert azure.raw("POST", path)[0] == 409


def test_deleting_a_cluster_answers_202_with_both_headers(azure):
    """https://learn.microsoft.com/rest/api/aks/managed-clusters/delete"""
    azure.create()
    status, body, headers = azure.raw("DELETE", azure.cluster_path())
    assert (status, body) == (202, {})
    assert headers["location"]
    assert headers["azure-asyncoperation"]
    assert states(azure) == ("Deleting", {"Deleting"})
    azure.step(400)
    assert azure.clusters.get(azure.group, "c1").provisioning_state == "Deleting"
    azure.step(200)
    assert azure.raw("GET", azure.cluster_path())[0] == 404
    assert azure.raw("DELETE", azure.cluster_path())[0] == 204


def test_a_second_deletion_joins_the_first(azure):
    azure.create()
    _, _, first = azure.raw("DELETE", azure.cluster_path())
    azure.step(400)
    status, _, second = azure.raw("DELETE", azure.cluster_path())
    assert status == 202
    assert second["azure-asyncoperation"].split("?")[0] == first["azure-asyncoperation"].split("?")[0]
    azure.step(160)
    assert azure.raw("GET", azure.cluster_path())[0] == 404


def test_a_deletion_preempts_whatever_is_going_on(azure):
    """error-code-operationpreempted: AKSOperationPreemptedByDelete.

    https://learn.microsoft.com/troubleshoot/azure/azure-kubernetes/create-upgrade-delete/error-code-operationpreempted
    """
    azure.create()
    poller = azure.begin_pool()
    deletion = azure.clusters.begin_delete(azure.group, "c1")
    error = failed(poller)
    assert error.code == "AKSOperationPreemptedByDelete"
    assert error.message == "This operation has been preempted by Deleting operation."
    azure.step(700)
    deletion.result()


def test_a_creation_can_be_deleted(azure):
    poller = azure.begin_create(nodeResourceGroup="nodes")
    azure.step(60)
    azure.clusters.begin_delete(azure.group, "c1")
    error = failed(poller)
    assert error.code == "AKSOperationPreemptedByDelete"
    assert error.message == "This operation has been preempted by Deleting operation."
    azure.step(700)
    assert azure.raw("GET", azure.cluster_path())[0] == 404
    assert not azure.resources.resource_groups.check_existence("nodes")


def test_a_cluster_being_deleted_takes_no_write(azure):
    """operationnotallowed, solution 4 (raw).

    https://learn.microsoft.com/troubleshoot/azure/azure-kubernetes/create-upgrade-delete/operationnotallowed
    """
    azure.create()
    azure.clusters.begin_delete(azure.group, "c1")
    azure.step(61)
    for write in (azure.begin_create, azure.begin_pool, azure.update):
        error = azure.refused(write)
        assert (error.status_code, error.error.code) == (409, "OperationNotAllowed")
        assert (
            "since deletion was issued on 'c1'. The only allowed operation is deletion" in error.error.message
        )
        assert "'00:01:01'" in error.error.message


def test_the_name_is_free_again_after_the_deletion(azure):
    azure.create(nodeResourceGroup="nodes")
    error = azure.refused(azure.begin_create, "c2", nodeResourceGroup="nodes")
    assert error.error.code == "NodeResourceGroupAlreadyExists"
    azure.clusters.begin_delete(azure.group, "c1")
    azure.step(700)
    azure.create(nodeResourceGroup="nodes")


# AKS's own throttling: https://learn.microsoft.com/azure/aks/quotas-skus-regions


def test_a_cluster_takes_20_puts_then_one_a_minute(azure):
    """https://learn.microsoft.com/azure/aks/quotas-skus-regions"""
    for _ in range(20):
        status, _, _ = azure.raw("PUT", azure.cluster_path(), azure.body(kubernetesVersion="1.0"))
        assert status == 400
    status, body, headers = azure.raw("PUT", azure.cluster_path(), azure.body())
    assert (status, body["code"]) == (429, "Throttled")
    assert body["message"].startswith(
        "The PutManagedClusterHandler.PUT request limit has been exceeded for SubID="
    )
    assert 58 <= int(headers["retry-after"]) <= 60
    assert azure.raw("PUT", azure.cluster_path("other"), azure.body(kubernetesVersion="1.0"))[0] == 400
    azure.step(60)
    assert azure.raw("PUT", azure.cluster_path(), azure.body())[0] == 201
    assert azure.raw("PUT", azure.cluster_path(), azure.body())[0] == 429


def test_a_pool_takes_20_puts_then_one_a_minute(azure):
    """https://learn.microsoft.com/azure/aks/quotas-skus-regions"""
    azure.create()
    path = azure.cluster_path().replace("?", "/agentPools/postgres?")
    answers = [azure.raw("PUT", path, {"properties": azure.pool(count=-1)})[0] for _ in range(21)]
    assert answers == [400] * 20 + [429]
    assert azure.raw("PUT", path.replace("postgres", "other"), {"properties": azure.pool()})[0] == 201


def test_a_cluster_is_read_60_times_then_once_a_second(azure):
    """https://learn.microsoft.com/azure/aks/quotas-skus-regions"""
    azure.create()
    azure.step(60)
    answers = [azure.raw("GET", azure.cluster_path())[0] for _ in range(65)]
    assert answers[:60] == [200] * 60
    assert 429 in answers


def test_operation_status_is_read_200_times_then_twice_a_second_in_the_subscription(azure):
    """https://learn.microsoft.com/azure/aks/quotas-skus-regions"""
    _, _, headers = azure.raw("PUT", azure.cluster_path(), azure.body())
    url = headers["azure-asyncoperation"].removeprefix(azure.endpoint)
    answers = [azure.raw("GET", url)[0] for _ in range(210)]
    assert answers[:200] == [200] * 200
    assert 429 in answers


def test_throttling_can_be_switched_off(azure):
    azure.set(throttling=False)
    azure.create()
    assert {azure.raw("GET", azure.cluster_path())[0] for _ in range(100)} == {200}
