"""A tenant with all rules at once: Entra only, no shared keys, roles given by others, a Modify policy on each type."""

from typing import get_args

import pytest

from aks_postgres.flows._doctor import diagnose
from aks_postgres.flows._errors import RebuildFailed
from aks_postgres.flows.plan import make_plan
from aks_postgres.flows.provision import provision
from aks_postgres.flows.rebuild import rebuild
from aks_postgres.flows.tear_down import tear_down
from aks_postgres.reports.rebuild import Strategy
from aks_postgres.resources.role_assignments import ROLE_NAMES
from aks_postgres.spec.environment import EnvironmentSpec
from aks_postgres.tasks.verify import RolesMissing
from azure_sandbox.client import SandboxProcess

from ..conftest import spec_for
from .conftest import quicken, run_provision, without_lock_traffic
from .test_roles_given import asked_to_assign, become, carry_out

pytestmark = [pytest.mark.usefixtures("prefect_api"), pytest.mark.thorough]

KEY = "cnpg-canadacentral"
CLUSTER_ADMIN = "Azure Kubernetes Service RBAC Cluster Admin"
# What the tenant's policies set, by type: on every type tags, one of which the spec has otherwise; what the spec says,
# too, as the tenant wants it; and else a field that we would write otherwise, with the entry that leaves it alone.
POLICIES = {
    ".*": {"tags.owner": "platform", "tags.cost-center": "4711"},
    "Microsoft.Storage/storageAccounts": {
        "properties.allowSharedKeyAccess": False,
        "properties.allowBlobPublicAccess": True,
    },
    "Microsoft.Dashboard/grafana": {
        "properties.publicNetworkAccess": "Disabled",
        "properties.apiKey": "Enabled",
    },
    "Microsoft.OperationalInsights/workspaces": {"properties.retentionInDays": 90},
    "Microsoft.Insights/dataCollectionRules": {"properties.description": "theirs"},
    "Microsoft.AlertsManagement/prometheusRuleGroups": {"properties.interval": "PT5M"},
    "Microsoft.ContainerService/managedClusters": {
        "properties.disableLocalAccounts": True,
        "sku.tier": "Free",
    },
    "Microsoft.ContainerService/managedClusters/agentPools": {"properties.maxCount": 4},
}
IGNORED = [
    "*.tags.owner",
    "storage account.properties.allowBlobPublicAccess",
    "Managed Grafana.properties.apiKey",
    "Log Analytics workspace.monitoring.log_retention_days",
    "data collection rule.properties.description",
    "Prometheus rule group.properties.interval",
    "AKS cluster.cluster.tier",
    "node pool.postgres_pool.max_count",
]


async def until_roles_are_given(azure: SandboxProcess, spec: EnvironmentSpec) -> None:
    """Run, have the list carried out by somebody else, and run again."""
    with pytest.raises(RolesMissing) as caught:
        await provision(spec)
    for command in caught.value.commands:
        carry_out(azure, command)
    await provision(spec)


@pytest.mark.parametrize("strategy", get_args(Strategy))
async def test_an_environment_from_first_run_to_tear_down(
    azure: SandboxProcess, monkeypatch: pytest.MonkeyPatch, strategy: Strategy
) -> None:
    quicken(azure)
    azure.settings(
        role_effect_s=0,
        policies=[
            {"name": f"policy-{number}", "type": kind, "modify": modify}
            for number, (kind, modify) in enumerate(POLICIES.items())
        ],
    )
    worker = become(azure, monkeypatch, "Contributor", CLUSTER_ADMIN)
    spec = spec_for(
        azure,
        cluster={"access": "entra"},
        storage={"shared_keys": "denied"},
        monitoring={"grafana_public_network_access": "disabled"},
        roles="verify",
        ignore_changes=IGNORED,
    )
    assert (await diagnose(spec)).blockers == ()
    await until_roles_are_given(azure, spec)
    assert without_lock_traffic((await run_provision(azure, spec)).writes) == []
    assert (await make_plan(spec, recorded=False)).is_empty
    assert (await diagnose(spec)).blockers == ()

    # The new generation has identities of its own, which nobody could give a role before they were there.
    with pytest.raises(RebuildFailed, match="role") as caught:
        await rebuild(spec, KEY, strategy)
    missing = caught.value.__cause__
    assert isinstance(missing, RolesMissing)
    for command in missing.commands:
        assert command in str(caught.value)
        carry_out(azure, command)
    rebuilt = await rebuild(spec, KEY, strategy)
    assert rebuilt.outputs.place.generation == 2
    assert without_lock_traffic((await run_provision(azure, spec)).writes) == []
    assert (await make_plan(spec, recorded=False)).is_empty

    await tear_down(spec, KEY)
    left = {
        one["type"].casefold()
        for one in azure.control("GET", "resources")["resources"]
        if "rg-cnpg-backup" not in one["id"].casefold()
    }
    assert left <= {"microsoft.authorization/roleassignments"}
    assert asked_to_assign(azure, worker) == []
    admin = {"ManagedClusters_ListClusterAdminCredentials", "StorageAccounts_ListKeys"}
    assert not admin & {entry["operation"] for entry in azure.ledger()}
    assert CLUSTER_ADMIN not in ROLE_NAMES.values()
