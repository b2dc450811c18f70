"""What the status document of an operation says, over every status and every form of `error` that Azure sends.

Recordings of azure-cli's own tests: AKS's documents say InProgress and Succeeded beside an error
(test_aks_create_update_fips_flow.yaml), Grafana's say `"error": {}` with Succeeded (test_amg_crud.yaml).
"""

from typing import Any

import pytest

from aks_postgres.arm.error_codes import HEALING, rule_for
from aks_postgres.arm.operation_status import fault_of_operation, has_error
from aks_postgres.arm.responses import ArmFault

CLUSTER = "/subscriptions/s/resourceGroups/g/providers/Microsoft.ContainerService/managedClusters/aks"
POOL = f"{CLUSTER}/agentPools/postgres"
GRAFANA = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Dashboard/grafana/graf"
ASSOCIATION = f"{CLUSTER}/providers/Microsoft.Insights/dataCollectionRuleAssociations/a"

ERRORS: dict[str, Any] = {
    "none": ...,
    "null": None,
    "empty": {},
    "text": "ReconcilePortalDNSError",
    "real": {"code": "ReconcilePortalDNSError", "message": "Reconciling."},
}
WELL = (
    "InProgress",
    "Succeeded",
    "Creating",
    "CreatingAgentPools: 1/3 nodes completed",
    "Accepted",
    "",
    None,
)
BADLY = ("Failed", "Canceled", "failed", "canceled")

each_error = pytest.mark.parametrize("form", ERRORS)


def document(status: str | None, form: str) -> dict[str, Any]:
    error = ERRORS[form]
    return {"status": status, **({} if error is ... else {"error": error})}


@each_error
@pytest.mark.parametrize("status", WELL)
def test_an_error_says_nothing_unless_the_status_says_that_it_went_wrong(
    status: str | None, form: str
) -> None:
    assert fault_of_operation(document(status, form), CLUSTER) is None


@each_error
@pytest.mark.parametrize("status", BADLY)
def test_what_went_wrong_gives_its_code_or_its_status(status: str, form: str) -> None:
    fault = fault_of_operation(document(status, form), CLUSTER)
    assert fault is not None
    assert fault.status == 200
    assert fault.code == ("ReconcilePortalDNSError" if form == "real" else status)
    assert has_error(document(status, form)) == (form == "real")


HEALING_CODES = (
    "InternalOperationError",
    "CreateVMSSAgentPoolFailed",
    "ReconcileVMSSAgentPoolFailed",
    "ReconcilePortalDNSError",
    "ReconcileControlPlaneCertificatesError",
    "ReconcileSomethingNewError",
    "OverlaymgrReconcileError",
    "ContextDeadlineExceeded",
    "NotFound",
)
RETRYING = "AKS will continuously retry the requested operation until successful or a retry timeout is hit."


def fault_of(resource_id: str, code: str, message: str = "") -> ArmFault:
    failed = {"status": "Failed", "error": {"code": code, "message": message}}
    found = fault_of_operation(failed, resource_id)
    assert found is not None
    return found


@pytest.mark.parametrize("resource_id", [CLUSTER, POOL, CLUSTER.casefold()])
@pytest.mark.parametrize("code", HEALING_CODES)
def test_what_aks_recovers_from_by_itself_is_given_time(resource_id: str, code: str) -> None:
    assert rule_for(fault_of(resource_id, code)) is HEALING
    wrapped = fault_of(resource_id, "ResourceOperationFailure")
    wrapped.details = f"{code}: because"
    assert rule_for(wrapped) is HEALING


def test_so_is_whatever_aks_says_that_it_goes_on_trying() -> None:
    assert rule_for(fault_of(CLUSTER, "SomethingNew", RETRYING)) is HEALING


@pytest.mark.parametrize("resource_id", [GRAFANA, ASSOCIATION, ""])
@pytest.mark.parametrize("code", HEALING_CODES[3:])
def test_other_services_operations_end_as_they_say(resource_id: str, code: str) -> None:
    assert rule_for(fault_of(resource_id, code, RETRYING)).reaction == "stop"


@pytest.mark.parametrize("status", [400, 403, 404])
@pytest.mark.parametrize("code", HEALING_CODES[3:])
def test_a_refused_request_isnt_something_that_heals(status: int, code: str) -> None:
    assert rule_for(ArmFault(status, code, RETRYING)).reaction == "stop"
