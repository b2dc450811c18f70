"""The preflight demands the actions that a run uses, by the sandbox's account: no more, no less."""

from typing import Any

from aks_postgres.preflight.permissions import ACTIONS, POLICY_ACTIONS, REGISTER
from aks_postgres.spec.environment import EnvironmentSpec
from azure_sandbox.client import SandboxProcess
from azure_sandbox.server.routing import Router, parse

from .conftest import run_provision

# Azure checks these on the way to something else; the sandbox sees no request for them.
LINKED = {
    "microsoft.managedidentity/userassignedidentities/assign/action",
    "microsoft.operationalinsights/workspaces/sharedkeys/read",
    "microsoft.operationsmanagement/solutions/read",
    "microsoft.operationsmanagement/solutions/write",
}


def actions_of(ledger: list[dict[str, Any]]) -> set[str]:
    """The actions that these requests needed."""
    router, actions = Router(), set()
    for entry in ledger:
        if entry["service"] == "arm":
            found = router.find(entry["method"], parse(entry["path"]))
            assert found is not None, entry["path"]
            actions.add(found[0].permission.casefold())
    return actions - {"none"}  # what everybody may: reading one's own permissions, an operation's status


async def test_every_request_of_a_run_is_covered_and_nothing_more_is_demanded(
    azure: SandboxProcess, spec: EnvironmentSpec, prefect_api: None
) -> None:
    azure.settings(registered={"Microsoft.Monitor": False})
    demanded = {action.casefold() for action in ACTIONS}
    assert demanded > LINKED
    actions = actions_of((await run_provision(azure, spec)).ledger)
    registering = {action for action in actions if action.endswith(REGISTER)}
    assert len(registering) == 1
    check_restrictions, *_ = (action.casefold() for action in POLICY_ACTIONS)
    assert actions - registering == (demanded | {check_restrictions}) - LINKED
