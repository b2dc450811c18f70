"""Microsoft.Resources: lists of resources, and tags of anything.

Groups are in `resource_groups.py`, subscriptions and registrations in `subscriptions.py`. Left out:
deployments, moves, exports, management groups, feature flags, generic writes by id (write to the resource's
own provider).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from azure_sandbox.core.call import Call, merge_patch
from azure_sandbox.core.provider import Provider
from azure_sandbox.core.responses import ArmError, Response

if TYPE_CHECKING:
    from azure_sandbox.core.resource import Resource
    from azure_sandbox.server.instance import Sandbox

Json = dict[str, Any]

GROUP = "Microsoft.Resources/resourceGroups"
GROUP_PATH = "subscriptions/{subscription}/resourceGroups/{group}"
GROUP_PERMISSION = "Microsoft.Resources/subscriptions/resourceGroups"

provider = Provider("Microsoft.Resources")

VERSIONS = (
    "2018-05-01",
    "2019-10-01",
    "2020-06-01",
    "2020-10-01",
    "2021-01-01",
    "2021-04-01",
    "2022-09-01",
    "2023-07-01",
    "2024-03-01",
    "2024-07-01",
    "2024-11-01",
    "2025-03-01",
    "2025-04-01",
)
SUBSCRIPTION_VERSIONS = ("2016-06-01", "2018-06-01", "2019-06-01", "2019-11-01", "2020-01-01", "2022-12-01")

provider.type("resourceGroups", api_versions=VERSIONS, tracked=False)
provider.type("subscriptions", api_versions=(*VERSIONS, *SUBSCRIPTION_VERSIONS), tracked=False)
# azure-mgmt-core registers a provider by itself on MissingSubscriptionRegistration and then looks until it is, both at
# 2016-02-01: https://github.com/Azure/azure-sdk-for-python (azure/mgmt/core/policies/_base.py).
provider.type("providers", api_versions=(*VERSIONS, "2016-02-01", *SUBSCRIPTION_VERSIONS), tracked=False)
provider.type("tags", api_versions=(*VERSIONS, "2024-08-01"), tracked=False)


def make_group(sandbox: Sandbox, group_id: str, location: str, **body: Any) -> Resource:
    """Make a resource group, or write it anew; services make theirs with `managedBy`."""
    content = {"location": location, **body, "properties": {"provisioningState": "Succeeded"}}
    return sandbox.store.put(group_id, GROUP, content)


# Lists of resources.


@provider.list(
    "subscriptions/{subscription}/resources",
    scope="path",
    type_name="resourceGroups",
    permission="Microsoft.Resources/subscriptions/resources/read",
)
def resources_list(call: Call) -> Response:
    """Resources_List: tracked resources of the subscription; $filter on resourceType, name, or a tag.

    REST: https://learn.microsoft.com/rest/api/resources/resources/list
    """
    return _listed(call, call.sandbox.subscription)


@provider.list(
    f"{GROUP_PATH}/resources",
    scope="path",
    type_name="resourceGroups",
    permission=f"{GROUP_PERMISSION}/resources/read",
)
def resources_list_by_resource_group(call: Call) -> Response:
    """Resources_ListByResourceGroup: tracked resources of a group."""
    return _listed(call, f"{call.sandbox.subscription}/resourceGroups/{call.group}")


def _listed(call: Call, scope: str) -> Response:
    found = []
    for resource in call.sandbox.store.under(scope):
        kind = call.sandbox.router.type(resource.type)
        if kind is not None and kind.tracked:
            found.append(resource)
    shown = []
    for resource in filtered(found, call.query.get("$filter")):
        view = call.sandbox.view(resource)
        generic = ("id", "name", "type", "location", "tags", "kind", "sku", "identity", "zones", "managedBy")
        entry = {key: view[key] for key in generic if key in view}
        if "provisioningState" in call.query.get("$expand", ""):
            entry["provisioningState"] = resource.state or "Succeeded"
        shown.append(entry)
    return Response(200, {"value": shown})


def filtered(resources: list[Resource], wanted: str | None) -> list[Resource]:
    """Apply an OData filter made of `x eq 'y'` joined by `and`."""
    if not wanted:
        return resources
    conditions: dict[str, str] = {}
    for part in wanted.split(" and "):
        name, _, value = part.strip().strip("()").partition(" eq ")
        if not value.strip().startswith("'"):
            text = f"The filter '{wanted}' isn't emulated; it would be added to azure_sandbox/providers/resources.py."
            raise ArmError(501, "NotImplemented", text)
        conditions[name.strip().lower()] = value.strip().strip("'").lower()
    known = {"resourcetype", "name", "location", "resourcegroup", "tagname", "tagvalue"}
    if set(conditions) - known:
        text = f"The filter '{wanted}' isn't emulated; it would be added to azure_sandbox/providers/resources.py."
        raise ArmError(501, "NotImplemented", text)

    def fits(resource: Resource) -> bool:
        facts = {
            "resourcetype": resource.type.lower(),
            "name": resource.name.lower(),
            "location": resource.location.lower(),
            "resourcegroup": resource.group_id.rpartition("/")[2].lower(),
        }
        if any(facts[key] != value for key, value in conditions.items() if key in facts):
            return False
        if "tagname" not in conditions:
            return True
        tags = {key.lower(): str(value).lower() for key, value in (resource.body.get("tags") or {}).items()}
        value = tags.get(conditions["tagname"])
        return value is not None and value == conditions.get("tagvalue", value)

    return [resource for resource in resources if fits(resource)]


# Tags of anything.

TAGS = {"properties": {"tags": {"*": str}}}


@provider.get("tags/default", scope="any", permission="Microsoft.Resources/tags/read")
def tags_get_at_scope(call: Call) -> Response:
    """Tags_GetAtScope: the tags of a resource, group or subscription."""
    return Response(200, _tags(call, _target(call)))


@provider.put("tags/default", scope="any", permission="Microsoft.Resources/tags/write")
def tags_create_or_update_at_scope(call: Call) -> Response:
    """Tags_CreateOrUpdateAtScope: replace all tags.

    REST: https://learn.microsoft.com/rest/api/resources/tags/create-or-update-at-scope
    """
    call.check_shape(TAGS)
    target = _target(call)
    return _retag(call, target, dict(call.properties.get("tags") or {}))


@provider.patch("tags/default", scope="any", permission="Microsoft.Resources/tags/write")
def tags_update_at_scope(call: Call) -> Response:
    """Tags_UpdateAtScope: merge, replace or delete tags."""
    call.check_shape(TAGS)
    target = _target(call)
    sent: Json = dict(call.properties.get("tags") or {})
    live: Json = dict(target.body.get("tags") or {})
    operation = str(call.body.get("operation", "")).lower()
    if operation == "merge":
        return _retag(call, target, {**live, **sent})
    if operation == "replace":
        return _retag(call, target, sent)
    if operation == "delete":
        return _retag(call, target, merge_patch(live, dict.fromkeys(sent)))
    raise ArmError(400, "InvalidTagsOperation", "The operation must be Merge, Replace or Delete.")


@provider.delete("tags/default", scope="any", permission="Microsoft.Resources/tags/delete")
def tags_delete_at_scope(call: Call) -> Response:
    """Tags_DeleteAtScope: no tags any more."""
    _retag(call, _target(call), {})
    return Response(200)


def _target(call: Call) -> Resource:
    target = call.sandbox.store.get(call.scope)
    if target is None:
        raise call.not_found()
    return target


def _retag(call: Call, target: Resource, tags: Json) -> Response:
    target.body["tags"] = tags
    call.sandbox.store.touch(target)
    return Response(200, _tags(call, target))


def _tags(call: Call, target: Resource) -> Json:
    return {
        "id": f"{target.id}/providers/Microsoft.Resources/tags/default",
        "name": "default",
        "type": "Microsoft.Resources/tags",
        "properties": {"tags": dict(target.body.get("tags") or {})},
    }
