"""Data collection rules and their associations with a cluster, as managed Prometheus and Container insights make them.

https://learn.microsoft.com/rest/api/monitor/data-collection-rules,
https://learn.microsoft.com/rest/api/monitor/data-collection-rule-associations
"""

from __future__ import annotations

import re
from dataclasses import replace

from aks_postgres.arm.client import Azure
from aks_postgres.arm.diff import Decision, decide
from aks_postgres.arm.reconcile import arm_resource, ensure, look_at, settled, unsettled
from aks_postgres.arm.responses import Answer, ArmFault, Json
from aks_postgres.reports.journal import journal
from aks_postgres.reports.outputs import Place, ResourceOutputs
from aks_postgres.resources.links import with_destinations
from aks_postgres.resources.managed_cluster import CREATE_S, cluster_resource
from aks_postgres.spec.environment import EnvironmentSpec
from aks_postgres.spec.names import resource_tags

# How a resource provider refuses what hangs on something that isn't ready; 403, 429 and 5xx mean other things.
_REFUSED = (400, 404, 409)


def plain_region(location: str) -> str:
    """A workspace's region as az writes it into names: lower-case letters and digits."""
    return re.sub(r"[^a-z0-9]", "", location.lower())


async def ensure_rule(
    azure: Azure,
    spec: EnvironmentSpec,
    place: Place,
    group: ResourceOutputs,
    name: str,
    region: str,
    properties: Json,
    workspace: str = "",
) -> ResourceOutputs:
    """Create a data collection rule, or bring it to these properties.

    Args:
        spec: the environment wanted.
        place: names.
        group: the environment's resource group.
        name: the rule's.
        region: where it goes.
        properties: what it shall be.
        workspace: the internal ID of the workspace that it writes to now.
    """
    label = f"data collection rule {name}"
    operations = azure.monitor.data_collection_rules
    resource = arm_resource(
        azure,
        label,
        place.resource_id("Microsoft.Insights/dataCollectionRules", name),
        operations.get,
        operations.create,
        group.name,
        name,
    )
    wanted = {"location": region, "kind": "Linux", "tags": resource_tags(spec), "properties": properties}

    def decision(live: Json | None) -> Decision:
        return with_destinations(decide(label, wanted, live, immutable=("location",)), live, workspace)

    _, change = await ensure(resource, decision)
    return ResourceOutputs(id=resource.id, name=name, change=change)


async def ensure_association(
    azure: Azure, cluster: ResourceOutputs, rule: ResourceOutputs, name: str, description: str
) -> ResourceOutputs:
    """Associate the cluster with a rule, under the name that its agent looks for.

    With `cluster_requests: single` the cluster may still be creating: az associates afterwards, and nobody has recorded
    what Azure says before. If it refuses, the association is made once the cluster is there.
    """
    label = f"data collection rule association {name}"
    operations = azure.monitor.data_collection_rule_associations
    resource = arm_resource(
        azure,
        label,
        f"{cluster.id}/providers/Microsoft.Insights/dataCollectionRuleAssociations/{name}",
        operations.get,
        operations.create,
        cluster.id.lstrip("/"),
        name,
    )

    async def put(body: Json, live: Json | None) -> Answer:
        try:
            return await resource.put(body, live)
        except ArmFault as refused:
            whole = cluster_resource(azure, cluster.id, cluster.id.split("/")[4], cluster.name, CREATE_S)
            if refused.status not in _REFUSED or unsettled(await look_at(whole)) is None:
                raise
            journal().note(
                f"{label}: refused while the cluster is being made ({refused}); made once it is there"
            )
            await settled(whole)
            return await resource.put(body, live)

    wanted = {"properties": {"dataCollectionRuleId": rule.id}}
    once = {"properties": {"description": description}}
    patient = replace(resource, put=put)
    _, change = await ensure(patient, lambda live: decide(label, wanted, live, only_at_creation=once))
    return ResourceOutputs(id=resource.id, name=name, change=change)
