import pytest
from azure.core import MatchConditions

PENDING = "See https://aka.ms/aks-pending-operation for more details"


def busy(error):
    assert (error.status_code, error.error.code) == (409, "OperationNotAllowed")
    assert error.error.message.endswith(PENDING)
    return error.error.message


def test_a_cluster_being_made_takes_no_write(azure):
    """avm-aks#25 and telescope#1213 (texts); the 409 is known from reports only.

    https://learn.microsoft.com/troubleshoot/azure/azure-kubernetes/create-upgrade-delete/operationnotallowed
    """
    azure.begin_create()
    assert "Another operation (Creating) is in progress" in busy(azure.refused(azure.begin_pool))
    assert "Another operation (Creating) is in progress" in busy(azure.refused(azure.update))


def test_a_cluster_being_updated_takes_no_write(azure):
    """https://learn.microsoft.com/troubleshoot/azure/azure-kubernetes/create-upgrade-delete/operationnotallowed"""
    azure.create()
    azure.update()
    assert "Another operation (Updating) is in progress" in busy(azure.refused(azure.begin_pool))


def test_a_pool_being_made_blocks_other_pools_and_the_cluster(azure):
    """cilium#25944, azure-workload-identity#417 (raw).

    https://github.com/cilium/cilium/issues/25944
    """
    azure.create()
    azure.begin_pool()
    text = busy(azure.refused(azure.begin_pool, "other"))
    assert "Another agentpool operation (postgres - Creating) is in progress" in text
    assert "Another operation (postgres - Creating) is in progress" in busy(azure.refused(azure.update))
    error = azure.refused(azure.clusters.begin_update_tags, azure.group, "c1", {"tags": {}})
    assert "(postgres - Creating)" in busy(error)
    assert azure.clusters.get(azure.group, "c1").provisioning_state == "Succeeded"
    azure.step(600)
    azure.update()


def test_a_busy_answer_has_no_retry_after(azure):
    azure.begin_create()
    status, _, headers = azure.raw("PUT", azure.cluster_path(), azure.body())
    assert (status, headers["retry-after"]) == (409, None)


def test_the_lock_can_be_switched_off_and_the_later_write_wins(azure):
    """error-code-operationpreempted: AKSOperationPreempted in the first one's status."""
    azure.set(busy_lock=False)
    azure.create()
    _, body, _ = azure.raw("GET", azure.cluster_path())
    _, _, headers = azure.raw("PUT", azure.cluster_path(), body)
    azure.raw("PUT", azure.cluster_path(), body)
    url = headers["azure-asyncoperation"].removeprefix(azure.endpoint)
    _, document, _ = azure.raw("GET", url)
    assert (document["status"], document["error"]["code"]) == ("Failed", "AKSOperationPreempted")
    azure.step(300)
    assert azure.clusters.get(azure.group, "c1").provisioning_state == "Succeeded"


@pytest.fixture
def with_spontaneous(azure):
    azure.set(spontaneous_operations=True)
    azure.create()
    return azure


def test_aks_starts_an_operation_of_its_own_soon_after_a_creation(with_spontaneous):
    """telescope#1213 (June 2026): PutExtensionAddonHandler collides with the first pool's PUT.

    https://github.com/Azure/telescope/pull/1213
    """
    azure = with_spontaneous
    azure.step(120)
    created, own = azure.operations()
    assert (own["operation"], own["spontaneous"]) == ("PutExtensionAddonHandler.PUT", True)
    assert 5 <= own["started_s"] - created["ends_s"] <= 60
    assert 20 <= own["ends_s"] - own["started_s"] <= 40


def until_spontaneous(azure, more):
    """Step to some seconds after the start of AKS's own operation."""
    azure.set(durations={"aks_spontaneous_wait": 700, "aks_spontaneous_operation": 30})
    azure.create()
    ended = azure.operations()[0]["ends_s"]
    now = azure.control("POST", "/sandbox/clock", {"step_s": 0})["now_s"]
    azure.step(ended + 700 + more - now)


def test_a_spontaneous_operation_refuses_writes_as_any_other(azure):
    """https://github.com/Azure/telescope/pull/1213"""
    azure.set(spontaneous_operations=True)
    until_spontaneous(azure, 10)
    assert azure.clusters.get(azure.group, "c1").provisioning_state == "Updating"
    assert azure.pools.get(azure.group, "c1", "systempool").provisioning_state == "Succeeded"
    assert "Another operation (Updating)" in busy(azure.refused(azure.begin_pool))
    azure.step(30)
    azure.add_pool()


def test_a_write_in_its_first_moments_meets_a_newer_etag(azure):
    """terraform-azurerm-aks#604, retina#1212 (raw).

    https://github.com/Azure/terraform-azurerm-aks/issues/604
    """
    azure.set(spontaneous_operations=True)
    until_spontaneous(azure, 1)
    status, error, _ = azure.raw("PUT", azure.cluster_path(), azure.body())
    assert (status, error["code"]) == (409, "EtagMismatch")
    assert error["message"] == "Operation is not allowed: Another operation is in progress"
    assert error["details"][0]["message"] == "rpc error: code = FailedPrecondition desc = Etag mismatched"


def test_after_updates_too_if_asked_for(azure):
    azure.set(spontaneous_operations_after_updates=True)
    azure.create()
    azure.update()
    azure.step(300)
    assert [operation["spontaneous"] for operation in azure.operations()] == [False, False, True]


# Etags: https://learn.microsoft.com/azure/aks/use-etags


def test_a_write_with_an_old_etag_is_refused(azure):
    """https://learn.microsoft.com/azure/aks/use-etags"""
    cluster = azure.create()
    azure.update()
    azure.step(300)
    not_modified = {"etag": cluster.e_tag, "match_condition": MatchConditions.IfNotModified}
    error = azure.refused(azure.update, **not_modified)
    assert (error.status_code, error.error.code) == (412, "PreconditionFailed")
    cluster = azure.clusters.get(azure.group, "c1")
    azure.update(etag=cluster.e_tag, match_condition=MatchConditions.IfNotModified)


def test_a_spontaneous_operation_changes_the_etag(azure):
    azure.set(spontaneous_operations=True)
    azure.set(durations={"aks_spontaneous_wait": 700})
    before = azure.create().e_tag
    azure.step(800)
    assert azure.clusters.get(azure.group, "c1").e_tag != before


def test_a_pools_operation_changes_only_its_own_etag(azure):
    azure.create()
    azure.add_pool()
    cluster, pool = azure.clusters.get(azure.group, "c1"), azure.pools.get(azure.group, "c1", "postgres")
    azure.begin_pool(count=4)
    azure.step(300)
    assert azure.clusters.get(azure.group, "c1").e_tag == cluster.e_tag
    after = azure.pools.get(azure.group, "c1", "postgres")
    assert after.properties.e_tag != pool.properties.e_tag


def test_a_clusters_operation_changes_the_pools_etags_too(azure):
    azure.create()
    before = azure.pools.get(azure.group, "c1", "systempool").properties.e_tag
    azure.update()
    azure.step(300)
    assert azure.pools.get(azure.group, "c1", "systempool").properties.e_tag != before


def test_if_none_match_refuses_what_exists(azure):
    """https://learn.microsoft.com/azure/aks/use-etags"""
    azure.create()
    error = azure.refused(azure.update, match_condition=MatchConditions.IfMissing)
    assert (error.status_code, error.error.code) == (412, "PreconditionFailed")


def test_both_conditions_at_once_are_a_bad_request(azure):
    """https://learn.microsoft.com/azure/aks/use-etags"""
    azure.create()
    both = {"if-match": "x", "if-none-match": "*"}
    status, error, _ = azure.raw("PUT", azure.cluster_path(), azure.body(), **both)
    assert (status, error["code"]) == (400, "BadRequest")


def test_a_pool_takes_conditions(azure):
    """https://learn.microsoft.com/azure/aks/use-etags"""
    azure.create()
    pool = azure.add_pool()
    old = {"etag": "old", "match_condition": MatchConditions.IfNotModified}
    arguments = (azure.group, "c1", "postgres", {"properties": azure.pool()})
    error = azure.refused(azure.pools.begin_create_or_update, *arguments, **old)
    assert error.status_code == 412
    good = {"etag": pool.properties.e_tag, "match_condition": MatchConditions.IfNotModified}
    azure.pools.begin_create_or_update(*arguments, **good)
