"""Microsoft.Insights: data collection endpoints, rules and associations.

Left out: everything else of Azure Monitor (alerts, metrics; action groups and diagnostic settings are in
`diagnostics.py`), and transformations in rules, which are stored as they are.

https://learn.microsoft.com/rest/api/monitor/data-collection-rules

A PUT is answered 200 for new ones too, as azure-cli recorded it (acs, acns_with_flow_logs: 8, 9 and 29 are rules and
associations).
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from azure_sandbox.core.provider import Provider
from azure_sandbox.core.regions import region_name
from azure_sandbox.core.responses import ArmError, Response

if TYPE_CHECKING:
    from azure_sandbox.core.call import Call
    from azure_sandbox.core.resource import Resource
    from azure_sandbox.server.instance import Sandbox

Json = dict[str, Any]

provider = Provider("Microsoft.Insights")

VERSIONS = ("2021-04-01", "2021-09-01-preview", "2022-06-01", "2023-03-11", "2024-03-11")
ENDPOINT_TYPE = "Microsoft.Insights/dataCollectionEndpoints"
RULE_TYPE = "Microsoft.Insights/dataCollectionRules"
ASSOCIATION_TYPE = "Microsoft.Insights/dataCollectionRuleAssociations"
WORKSPACE_TYPE = "Microsoft.OperationalInsights/workspaces"
ENDPOINT = "dataCollectionEndpoints/{endpoint}"
RULE = "dataCollectionRules/{rule}"
RULE_SHAPE = {
    "properties": {
        "dataCollectionEndpointId": str,
        "destinations": {
            "logAnalytics": [{"name": str, "workspaceResourceId": str}],
            "monitoringAccounts": [{"name": str, "accountResourceId": str}],
            "azureMonitorMetrics": {"name": str},
        },
        "dataFlows": [{"streams": [str], "destinations": [str]}],
        "dataSources": dict,
    }
}
ASSOCIATION_SHAPE = {"properties": {"dataCollectionRuleId": str, "dataCollectionEndpointId": str}}
ASSOCIATION = "dataCollectionRuleAssociations/{association}"

provider.type("dataCollectionEndpoints", api_versions=VERSIONS, group_delete_rank=1)
provider.type("dataCollectionRules", api_versions=VERSIONS, group_delete_rank=1)
provider.type("dataCollectionRuleAssociations", api_versions=VERSIONS, tracked=False)
# The lists of a rule's and of an endpoint's associations.
provider.type("dataCollectionRules/associations", api_versions=VERSIONS, tracked=False)
provider.type("dataCollectionEndpoints/associations", api_versions=VERSIONS, tracked=False)
provider.standard(
    ENDPOINT,
    get="DataCollectionEndpoints_Get",
    list_in_group="DataCollectionEndpoints_ListByResourceGroup",
    list_in_subscription="DataCollectionEndpoints_ListBySubscription",
)
provider.standard(
    RULE,
    get="DataCollectionRules_Get",
    list_in_group="DataCollectionRules_ListByResourceGroup",
    list_in_subscription="DataCollectionRules_ListBySubscription",
)


def _check_name(name: str, longest: int) -> None:
    """Letters, digits and `-`, no `-` at either end; the CLI cuts its own names to these lengths."""
    letters = name.replace("-", "")
    if (
        len(name) <= longest
        and letters.isalnum()
        and letters.isascii()
        and name[0] != "-"
        and name[-1] != "-"
    ):
        return
    text = f"The name '{name}' is invalid: at most {longest} letters, digits and '-', no '-' at either end."
    raise ArmError(400, "InvalidPayload", text, target="name")


# Endpoints.


@provider.put(ENDPOINT)
def data_collection_endpoints_create(call: Call) -> Response:
    """DataCollectionEndpoints_Create: 200, new or known, at once.

    REST: https://learn.microsoft.com/rest/api/monitor/data-collection-endpoints/create
    """
    _check_name(call.names["endpoint"], 44)
    endpoint = make_endpoint(call.sandbox, call.id, call.body["location"], call.body)
    return Response(200, endpoint, latency_s=call.seconds("data_collection_write"))


def make_endpoint(sandbox: Sandbox, endpoint_id: str, location: str, body: Json | None = None) -> Resource:
    """Make an endpoint, or write it anew."""
    sent = body or {}
    live = sandbox.store.get(endpoint_id)
    region = region_name(location)
    known = live.properties if live is not None else {}
    name = endpoint_id.rsplit("/", 1)[-1].lower()
    host = f"{name[:40]}-{sandbox.rng('endpoint', endpoint_id).getrandbits(16):04x}.{region}-1"
    properties = {
        "networkAcls": {"publicNetworkAccess": "Enabled"},
        **(sent.get("properties") or {}),
        "immutableId": known.get("immutableId") or _immutable(sandbox, "dce", endpoint_id),
        "configurationAccess": {"endpoint": f"https://{host}.handler.control.monitor.azure.com"},
        "logsIngestion": {"endpoint": f"https://{host}.ingest.monitor.azure.com"},
        "metricsIngestion": {"endpoint": f"https://{host}.metrics.ingest.monitor.azure.com"},
        "provisioningState": "Succeeded",
    }
    endpoint = sandbox.store.put(
        endpoint_id, ENDPOINT_TYPE, {**sent, "location": region, "properties": properties}
    )
    endpoint.body["etag"] = f'"{endpoint.etag}"'
    return endpoint


@provider.patch(ENDPOINT)
def data_collection_endpoints_update(call: Call) -> Response:
    """DataCollectionEndpoints_Update: tags."""
    return _retag(call)


@provider.delete(ENDPOINT)
def data_collection_endpoints_delete(call: Call) -> Response:
    """DataCollectionEndpoints_Delete: 200, 204 when there is none; 409 while something uses it.

    Status and code of the 409 are unverified.
    """
    if call.live is not None:
        users = [
            item
            for kind in (RULE_TYPE, ASSOCIATION_TYPE)
            for item in call.sandbox.store.of_type(kind)
            if str(item.properties.get("dataCollectionEndpointId")).lower() == call.live.id.lower()
        ]
        if users:
            raise _in_use(call.live, users)
    return call.delete_now()


# Rules.


@provider.put(RULE)
def data_collection_rules_create(call: Call) -> Response:
    """DataCollectionRules_Create: 200, new or known; 400 InvalidPayload when what it names isn't ready.

    REST: https://learn.microsoft.com/rest/api/monitor/data-collection-rules/create
    """
    call.check_shape(RULE_SHAPE)
    _check_name(call.names["rule"], 64)
    _check_rule(call)
    rule = make_rule(call.sandbox, call.id, call.body["location"], call.properties, call.body)
    return Response(200, rule, latency_s=call.seconds("data_collection_write"))


def make_rule(
    sandbox: Sandbox, rule_id: str, location: str, properties: Json, body: Json | None = None
) -> Resource:
    """Make a rule, or write it anew."""
    live = sandbox.store.get(rule_id)
    known = live.properties if live is not None else {}
    shown = {key: value for key, value in properties.items() if value is not None}
    if shown.get("destinations"):
        shown["destinations"] = _with_internal_ids(sandbox, shown["destinations"])
    shown["immutableId"] = known.get("immutableId") or _immutable(sandbox, "dcr", rule_id)
    shown["provisioningState"] = "Succeeded"
    content = {**(body or {}), "location": region_name(location), "properties": shown}
    rule = sandbox.store.put(rule_id, RULE_TYPE, content)
    rule.body["etag"] = f'"{rule.etag}"'
    return rule


def _with_internal_ids(sandbox: Sandbox, destinations: Json) -> Json:
    """What a rule is to write to, with the workspaces' own IDs as they are at this write; read-only in the schema.

    https://learn.microsoft.com/azure/templates/microsoft.insights/datacollectionrules
    """
    kinds = (
        ("logAnalytics", "workspaceResourceId", "workspaceId", "customerId"),
        ("monitoringAccounts", "accountResourceId", "accountId", "accountId"),
    )
    shown = copy.deepcopy(destinations)
    for kind, reference, key, source in kinds:
        for destination in shown.get(kind) or []:
            workspace = sandbox.store.get(str(destination.get(reference)))
            if workspace is not None and workspace.properties.get(source):
                destination[key] = workspace.properties[source]
    return shown


def _check_rule(call: Call) -> None:
    """Refuse a rule whose flows or destinations don't hold.

    A fresh workspace's tables aren't there at once: InvalidOutputTable, which the CLI repeats 5 times 15 s
    apart.
    https://github.com/Azure/Azure-Sentinel/issues/12145
    """
    sandbox, properties = call.sandbox, call.properties
    problems: list[Json] = []
    endpoint = properties.get("dataCollectionEndpointId")
    if endpoint and sandbox.store.get(endpoint) is None:
        problems.append(
            {
                "code": "InvalidDataCollectionEndpoint",
                "message": f"Data collection endpoint '{endpoint}' does not exist.",
                "target": "properties.dataCollectionEndpointId",
            }
        )
    names: dict[str, Resource | None] = {}
    destinations = properties.get("destinations") or {}
    for key, field in (("logAnalytics", "workspaceResourceId"), ("monitoringAccounts", "accountResourceId")):
        for position, entry in enumerate(destinations.get(key) or ()):
            target = sandbox.store.get(str(entry.get(field)))
            names[str(entry.get("name"))] = target
            if target is None:
                problems.append(
                    {
                        "code": "InvalidDestination",
                        "message": f"The resource '{entry.get(field)}' does not exist.",
                        "target": f"properties.destinations.{key}[{position}]",
                    }
                )
    for key, value in destinations.items():
        if key not in ("logAnalytics", "monitoringAccounts") and isinstance(value, list):
            names.update({str(entry.get("name")): None for entry in value if isinstance(entry, dict)})
        elif key not in ("logAnalytics", "monitoringAccounts") and isinstance(value, dict):
            names[str(value.get("name"))] = None
    for position, flow in enumerate(properties.get("dataFlows") or ()):
        for name in flow.get("destinations") or ():
            if name not in names:
                problems.append(
                    {
                        "code": "InvalidDataFlow",
                        "message": f"The destination '{name}' isn't defined.",
                        "target": f"properties.dataFlows[{position}]",
                    }
                )
                continue
            workspace = names[name]
            if workspace is None or workspace.type != WORKSPACE_TYPE:
                continue
            if not workspace.settled or workspace.notes.get("tables_ready_s", 0.0) > sandbox.clock.now_s():
                problems.append(
                    {
                        "code": "InvalidOutputTable",
                        "message": "Table for output stream 'Microsoft-ContainerLogV2' is not available for "
                        f"destination '{name}'.",
                        "target": f"properties.dataFlows[{position}]",
                    }
                )
    if problems:
        text = "Data collection rule is invalid"
        raise ArmError(400, "InvalidPayload", text, details=problems)


@provider.patch(RULE)
def data_collection_rules_update(call: Call) -> Response:
    """DataCollectionRules_Update: tags."""
    return _retag(call)


@provider.delete(RULE)
def data_collection_rules_delete(call: Call) -> Response:
    """DataCollectionRules_Delete: 200, 204 when there is none; 409 while associations name it.

    `deleteAssociations=true` takes them along. Status and code of the 409 are unverified
    (https://github.com/hashicorp/terraform-provider-azurerm/issues/24785 says that it is refused).
    """
    if call.live is not None:
        users = _associations(call.sandbox, "dataCollectionRuleId", call.live.id)
        if users and call.query.get("deleteassociations", "").lower() != "true":
            raise _in_use(call.live, users)
        for association in users:
            call.sandbox.remove(association)
    return call.delete_now()


@provider.removed("dataCollectionRules")
def _rule_removed(rule: Resource, sandbox: Sandbox) -> None:
    """What is left of a rule that went with its group: its associations go too."""
    for association in _associations(sandbox, "dataCollectionRuleId", rule.id):
        sandbox.remove(association)


# Associations.


@provider.put(ASSOCIATION, scope="any")
def data_collection_rule_associations_create(call: Call) -> Response:
    """DataCollectionRuleAssociations_Create: 200, new or known; the resource and the rule must exist.

    REST: https://learn.microsoft.com/rest/api/monitor/data-collection-rule-associations/create
    """
    call.check_shape(ASSOCIATION_SHAPE)
    sandbox = call.sandbox
    if sandbox.store.get(call.scope) is None:
        kind, _, name = call.scope.partition("/providers/")[2].rpartition("/")
        text = (
            f"The Resource '{kind}/{name}' under resource group '{call.group}' was not found. For more "
            "details please go to https://aka.ms/ARMResourceNotFoundFix"
        )
        raise ArmError(404, "ResourceNotFound", text, headers={"x-ms-failure-cause": "gateway"})
    onto = sandbox.store.get(call.scope)
    if onto is not None and onto.state == "Creating" and not sandbox.settings["associations_while_creating"]:
        text = (
            f"Resource '{call.scope}' is in Creating state; it must be in Succeeded state to be associated."
        )
        raise ArmError(409, "ResourceNotProvisioned", text)
    rule, endpoint = (
        call.properties.get("dataCollectionRuleId"),
        call.properties.get("dataCollectionEndpointId"),
    )
    if bool(rule) == bool(endpoint):
        text = "Exactly one of dataCollectionRuleId and dataCollectionEndpointId must be given."
        raise ArmError(400, "InvalidPayload", text, target="properties")
    if sandbox.store.get(str(rule or endpoint)) is None:
        what = "rule" if rule else "endpoint"
        text = f"Data collection {what} with resource ID '{rule or endpoint}' does not exist."
        raise ArmError(404, "NotFound", text)
    association = call.put({"properties": {**call.properties, "provisioningState": "Succeeded"}})
    association.body["etag"] = f'"{association.etag}"'
    return Response(200, association, latency_s=call.seconds("data_collection_write"))


@provider.get(ASSOCIATION, scope="any")
def data_collection_rule_associations_get(call: Call) -> Response:
    """DataCollectionRuleAssociations_Get: one association."""
    return Response(200, call.found())


@provider.delete(ASSOCIATION, scope="any")
def data_collection_rule_associations_delete(call: Call) -> Response:
    """DataCollectionRuleAssociations_Delete: 200, 204 when there is none."""
    return call.delete_now()


@provider.list("dataCollectionRuleAssociations", scope="any")
def data_collection_rule_associations_list_by_resource(call: Call) -> Response:
    """DataCollectionRuleAssociations_ListByResource: the associations of a resource."""
    prefix = f"{call.scope}/providers/{ASSOCIATION_TYPE}"
    return Response(
        200, {"value": [item.body for item in call.sandbox.store.under(prefix, ASSOCIATION_TYPE)]}
    )


@provider.list(f"{RULE}/associations")
def data_collection_rule_associations_list_by_rule(call: Call) -> Response:
    """DataCollectionRuleAssociations_ListByRule: the associations of a rule."""
    found = _associations(call.sandbox, "dataCollectionRuleId", call.parent().id)
    return Response(200, {"value": [item.body for item in found]})


@provider.list(f"{ENDPOINT}/associations")
def data_collection_rule_associations_list_by_data_collection_endpoint(call: Call) -> Response:
    """DataCollectionRuleAssociations_ListByDataCollectionEndpoint: the associations of an endpoint."""
    found = _associations(call.sandbox, "dataCollectionEndpointId", call.parent().id)
    return Response(200, {"value": [item.body for item in found]})


def _associations(sandbox: Sandbox, field: str, target: str) -> list[Resource]:
    return [
        item
        for item in sandbox.store.of_type(ASSOCIATION_TYPE)
        if str(item.properties.get(field)).lower() == target.lower()
    ]


def _in_use(resource: Resource, users: list[Resource]) -> ArmError:
    text = f"'{resource.id}' can't be deleted while it is used by: {', '.join(item.id for item in users)}."
    return ArmError(409, "Conflict", text)


def _retag(call: Call) -> Response:
    live = call.found()
    live.body["tags"] = call.body.get("tags", live.body.get("tags"))
    call.sandbox.store.touch(live)
    return Response(200, live)


def _immutable(sandbox: Sandbox, prefix: str, resource_id: str) -> str:
    return f"{prefix}-{sandbox.uuid(prefix, resource_id).hex}"
