"""What the status document of a long-running operation says: its `status` decides, never an `error` beside it.

AKS's documents name errors that it is still working on while they say InProgress, and errors that it got over while
they say Succeeded; Grafana's say `"error": {}` with Succeeded (recordings of azure-cli's own tests, such as
test_aks_create_update_fips_flow.yaml and test_amg_crud.yaml).
"""

from __future__ import annotations

from aks_postgres.arm.responses import ArmFault, Json

_AKS = "/providers/microsoft.containerservice/managedclusters/"
_WENT_WRONG = frozenset({"failed", "canceled"})


def has_error(status: Json) -> bool:
    """Return whether the document names an error, of whatever weight; `{}` is none."""
    error = status.get("error")
    return isinstance(error, dict) and bool(error)


def fault_of_operation(status: Json, resource_id: str, fallback: str = "") -> ArmFault | None:
    """Return why the operation went wrong; None unless its status says that it did.

    Args:
        status: the document.
        resource_id: what the operation works on.
        fallback: the code for an operation that gives none.
    """
    said = str(status.get("status") or "")
    if said.casefold() not in _WENT_WRONG:
        return None
    if has_error(status):
        fault = ArmFault.of_body(status, status=200, fallback=fallback or said)
    else:
        fault = ArmFault(200, fallback or said, f"the operation ended as {said} and Azure gave no reason")
    # A rule group or an association may have a cluster's ID in its own, but AKS doesn't run their operations.
    tail = resource_id.casefold().rpartition("/providers/")
    fault.of_aks_operation = "".join(tail[1:]).startswith(_AKS)
    return fault
