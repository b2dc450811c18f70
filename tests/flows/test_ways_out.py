"""Ways out that were walked: the state, the message, what it says to do, a good end."""

import pytest

from aks_postgres.flows.plan import make_plan
from aks_postgres.flows.provision import provision
from aks_postgres.preflight.errors import PreflightFailed

from ..conftest import spec_for
from .stage import GRAFANA, Stage

pytestmark = pytest.mark.usefixtures("prefect_api")

GOVERNED = {"CostCenter": "1", "Environment": "Prod"}


@pytest.mark.thorough
async def test_groups_whose_tags_were_all_replaced_are_adopted_by_what_the_message_says(stage: Stage) -> None:
    for one in stage.state["resources"]:
        if one["type"].endswith("/resourceGroups") and one["body"].get("tags"):
            one["body"]["tags"] = dict(GOVERNED)
    stage.azure.control("PUT", "state", stage.state)
    groups = [stage.outputs.cluster.resource_group, stage.outputs.backup_group.name]
    with pytest.raises(PreflightFailed) as refused:
        await provision(spec_for(stage.azure))
    assert f"adopt: [{', '.join(groups)}]" in str(refused.value)

    await provision(spec_for(stage.azure, adopt=groups))
    assert (await make_plan(spec_for(stage.azure), recorded=False)).is_empty
    for name in groups:
        path = f"/subscriptions/{stage.azure.subscription_id}/resourceGroups/{name}"
        tags = stage.azure.arm("GET", path, api_version="2024-11-01").json()["tags"]
        assert tags.items() >= GOVERNED.items()
        assert tags["managed-by"] == "aks-postgres"


async def test_a_grafana_of_a_retired_version_is_changed_without_asking_for_that_version(
    stage: Stage,
) -> None:
    stage.one(GRAFANA)["properties"] |= {"grafanaMajorVersion": "10", "grafanaVersion": "10.4.1"}
    stage.azure.control("PUT", "state", stage.state)
    refused = {
        "status": 400,
        "code": "GrafanaMajorVersionNotSupported",
        "message": "Major version 10 isn't valid for this SKU; 11 and 12 are.",
    }
    stage.azure.fault(refused, operation="Grafana_Create", times=None)
    outputs = await provision(spec_for(stage.azure, tags={"owner": "other"}))
    assert outputs.changes["grafana"].kind == "updated"
    assert (await make_plan(spec_for(stage.azure, tags={"owner": "other"}), recorded=False)).is_empty
