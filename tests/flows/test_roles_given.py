"""`roles: verify`: a run that may not assign roles says which are missing, all at once, and others give them."""

import shlex
import uuid
from typing import Any

import pytest

from aks_postgres.arm.client import current_azure
from aks_postgres.flows.plan import make_plan
from aks_postgres.flows.provision import provision
from aks_postgres.flows.tear_down import tear_down
from aks_postgres.preflight.errors import PreflightFailed
from aks_postgres.reports.journal import Journal
from aks_postgres.reports.outputs import UNCHANGED
from aks_postgres.resources.role_assignments import (
    MONITORING_READER,
    NETWORK_CONTRIBUTOR,
    ROLE_NAMES,
    Grant,
    ensure_grants,
)
from aks_postgres.spec.environment import EnvironmentSpec
from aks_postgres.tasks.verify import RolesMissing
from azure_sandbox.client import SandboxProcess

from ..conftest import spec_for
from .conftest import quicken, run_provision, without_lock_traffic

pytestmark = pytest.mark.usefixtures("prefect_api")

ROLES = "Microsoft.Authorization/roleAssignments"


def carry_out(azure: SandboxProcess, command: str, scope: str = "") -> None:
    """What `az role assignment create` sends, at the scope that it says or another one."""
    words = shlex.split(command)
    assert words[:4] == ["az", "role", "assignment", "create"], command
    given = dict(zip(words[4::2], words[5::2], strict=True))
    guid = next(guid for guid, name in ROLE_NAMES.items() if name == given["--role"])
    body = {
        "properties": {
            "roleDefinitionId": f"{azure.subscription}/providers/Microsoft.Authorization/roleDefinitions/{guid}",
            "principalId": given["--assignee-object-id"],
            "principalType": given["--assignee-principal-type"],
        }
    }
    path = f"{scope or given['--scope']}/providers/{ROLES}/{uuid.uuid4()}"
    assert azure.arm("PUT", path, body, api_version="2022-04-01").status_code == 201


def become(azure: SandboxProcess, patch: pytest.MonkeyPatch, *roles: str) -> str:
    """Be another service principal with these roles on the subscription; returns its object ID."""
    given = [{"role": role, "scope": azure.subscription} for role in roles]
    made = azure.control("POST", "principals", {"roles": given})
    patch.setenv("AZURE_CLIENT_ID", made["client_id"])
    patch.setenv("AZURE_CLIENT_SECRET", made["client_secret"])
    return str(made["object_id"])


def asked_to_assign(azure: SandboxProcess, principal_id: str) -> list[dict[str, Any]]:
    return [
        entry
        for entry in azure.ledger()
        if ROLES in entry["path"] and entry["method"] != "GET" and entry["principal"] == principal_id
    ]


async def missing(spec: EnvironmentSpec) -> tuple[str, ...]:
    with pytest.raises(RolesMissing) as caught:
        await provision(spec)
    assert all(f"\n  {command}" in str(caught.value) for command in caught.value.commands)
    return caught.value.commands


async def test_a_role_counts_where_it_reaches_and_nothing_is_written(
    azure: SandboxProcess, journal: Journal
) -> None:
    group = f"{azure.subscription}/resourceGroups/rg-any"
    made = azure.arm("PUT", group, {"location": "canadacentral"}, api_version="2024-11-01")
    assert made.status_code == 201
    someone = str(azure.control("POST", "principals", {"roles": []})["object_id"])
    grants = [
        Grant(role, group, someone, "ServicePrincipal") for role in (MONITORING_READER, NETWORK_CONTRIBUTOR)
    ]
    current_azure().assigns_roles = False
    before = len(azure.ledger())
    found = await ensure_grants(current_azure(), grants)
    assert (found.ids, len(found.missing), found.change) == ((), 2, UNCHANGED)
    assert all(entry["method"] == "GET" for entry in azure.ledger()[before:])
    carry_out(azure, found.missing[0], azure.subscription)  # higher up
    carry_out(azure, found.missing[1])
    found = await ensure_grants(current_azure(), grants)
    assert (len(found.ids), found.missing) == (2, ())


@pytest.mark.thorough
async def test_a_contributor_gets_one_list_and_goes_on_when_somebody_has_carried_it_out(
    azure: SandboxProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    quicken(azure)
    worker = become(azure, monkeypatch, "Contributor")
    spec = spec_for(azure, roles="verify")
    plan = await make_plan(spec, recorded=False)
    assert plan.unknown == ()
    planned = [str(field) for step in plan.changes for field in step.fields if "role " in field.field]
    assert len(planned) == 6
    assert all("somebody who may" in text for text in planned)

    first = await missing(spec)
    assert len(first) == 6
    again = {step.step for step in (await make_plan(spec, recorded=False)).changes}
    assert again == {
        "blob_roles",
        "grafana_roles",
        "node_group_reader",
        "metrics_reader",
        "network_role",
        "generation",
    }
    # A role higher up is as good.
    for command in first[:-1]:
        carry_out(azure, command)
    assert await missing(spec) == first[-1:]
    carry_out(azure, first[-1], azure.subscription)

    await provision(spec)
    assert (await make_plan(spec, recorded=False)).is_empty
    last = await run_provision(azure, spec)
    assert without_lock_traffic(last.writes) == []
    receipt = await tear_down(spec, "cnpg-canadacentral")
    left = [item for item in receipt.kept if item.what == "role assignment"]
    assert {item.name.partition(" for ")[0] for item in left} == {
        "Storage Blob Data Contributor",
        "Network Contributor",
    }
    assert all("az role assignment delete --ids /subscriptions/" in item.reason for item in left)
    assert asked_to_assign(azure, worker) == []


@pytest.mark.thorough
async def test_without_it_a_contributor_is_told_of_it(
    azure: SandboxProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    become(azure, monkeypatch, "Contributor")
    with pytest.raises(PreflightFailed, match="or say roles: verify"):
        await provision(spec_for(azure))
