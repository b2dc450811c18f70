"""Microsoft.Resources: subscriptions, locations, providers, resource groups, lists of resources, tags.

Left out: deployments, moves, exports, management groups, feature flags.
"""

from __future__ import annotations

import functools
import itertools
from typing import TYPE_CHECKING, Any

from sandbox.arm import ArmError, Call, Operation, Polling, Provider, Resource, Response, merge_patch
from sandbox.regions import regions

if TYPE_CHECKING:
    from sandbox.instance import Sandbox

Json = dict[str, Any]

SUBSCRIPTION = "Microsoft.Resources/subscriptions"
GROUP = "Microsoft.Resources/resourceGroups"

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
provider.type("tags", api_versions=(*VERSIONS, "2024-08-01"), tracked=False)

# 202 and Location until the end, then 200 without a body; 15 s between polls.
# https://github.com/Azure/azure-powershell (Aks.Test recording TestAksNodePool.json)
GROUP_DELETE = Polling(
    location_path="/subscriptions/{subscription}/operationresults/{id}",
    location_done="empty",
    retry_after_s=15,
)


# Subscriptions and locations.


@provider.list(
    "subscriptions", scope="path", type_name="subscriptions", permission="none", checks_group=False
)
def subscriptions_list(call: Call) -> Response:
    """Subscriptions_List: the one subscription.

    REST: https://learn.microsoft.com/rest/api/resources/subscriptions/list
    """
    return Response(200, {"value": [_subscription(call.sandbox)]})


@provider.get(
    "subscriptions/{subscription}",
    scope="path",
    type_name="subscriptions",
    permission="Microsoft.Resources/subscriptions/read",
)
def subscriptions_get(call: Call) -> Response:
    """Subscriptions_Get: the subscription."""
    return Response(200, _subscription(call.sandbox))


def _subscription(sandbox: Sandbox) -> Json:
    return {
        "id": sandbox.subscription,
        "authorizationSource": "RoleBased",
        "managedByTenants": [],
        "subscriptionId": sandbox.subscription_id,
        "tenantId": sandbox.tenant_id,
        "displayName": sandbox.subscription_name,
        "state": "Enabled",
        "subscriptionPolicies": {
            "locationPlacementId": "Public_2014-09-01",
            "quotaId": "PayAsYouGo_2014-09-01",
            "spendingLimit": "Off",
        },
    }


@provider.list("tenants", scope="path", type_name="subscriptions", permission="none")
def tenants_list(call: Call) -> Response:
    """Tenants_List: the one tenant."""
    tenant = call.sandbox.tenant_id
    shown = {
        "id": f"/tenants/{tenant}",
        "tenantId": tenant,
        "tenantCategory": "Home",
        "displayName": "Sandbox",
    }
    return Response(200, {"value": [shown]})


@provider.list(
    "subscriptions/{subscription}/locations",
    scope="path",
    type_name="subscriptions",
    permission="Microsoft.Resources/subscriptions/locations/read",
)
def subscriptions_list_locations(call: Call) -> Response:
    """Subscriptions_ListLocations: the regions that the data tables know.

    REST: https://learn.microsoft.com/rest/api/resources/subscriptions/list-locations
    """
    value = []
    for location in regions().values():
        shown: Json = {
            "id": f"{call.sandbox.subscription}/locations/{location.name}",
            "name": location.name,
            "type": "Region",
            "displayName": location.display_name,
            "regionalDisplayName": location.display_name,
            "metadata": {
                "regionType": "Physical",
                "regionCategory": "Recommended" if location.zones else "Other",
                "geography": location.geography,
            },
        }
        if location.zones:
            shown["availabilityZoneMappings"] = [
                {"logicalZone": zone, "physicalZone": f"{location.name}-az{zone}"} for zone in location.zones
            ]
        value.append(shown)
    return Response(200, {"value": value})


# Providers.


@provider.list(
    "subscriptions/{subscription}/providers",
    scope="path",
    type_name="resourceGroups",
    permission="Microsoft.Resources/subscriptions/providers/read",
)
def providers_list(call: Call) -> Response:
    """Providers_List: every namespace that the sandbox knows.

    REST: https://learn.microsoft.com/rest/api/resources/providers/list
    """
    names = sorted(set(call.sandbox.router.namespaces.values()) | set(FURTHER_NAMESPACES))
    return Response(200, {"value": [_provider(call.sandbox, name) for name in names]})


@provider.get(
    "subscriptions/{subscription}/providers/{namespace}",
    scope="path",
    type_name="resourceGroups",
    permission="Microsoft.Resources/subscriptions/providers/read",
)
def providers_get(call: Call) -> Response:
    """Providers_Get: one namespace and its registration."""
    return Response(200, _provider(call.sandbox, _namespace(call)))


@provider.post(
    "subscriptions/{subscription}/providers/{namespace}/register",
    scope="path",
    type_name="resourceGroups",
    permission="Microsoft.Resources/subscriptions/providers/register/action",
)
def providers_register(call: Call) -> Response:
    """Providers_Register: Registering at once, Registered after a while.

    REST: https://learn.microsoft.com/rest/api/resources/providers/register
    """
    namespace = _namespace(call)
    sandbox, registrations = call.sandbox, call.sandbox.state("registrations")
    if registration_state(sandbox, namespace) not in ("Registered", "Registering"):
        key = namespace.lower()
        registrations[key] = "Registering"
        delay_s = sandbox.durations.seconds("provider_registration", key)
        sandbox.clock.call_later(delay_s, lambda: registrations.__setitem__(key, "Registered"))
    return Response(200, _provider(sandbox, namespace))


@provider.post(
    "subscriptions/{subscription}/providers/{namespace}/unregister",
    scope="path",
    type_name="resourceGroups",
    permission="Microsoft.Resources/subscriptions/providers/unregister/action",
)
def providers_unregister(call: Call) -> Response:
    """Providers_Unregister: Unregistered at once, unless resources are left."""
    namespace = _namespace(call)
    prefix = namespace.lower() + "/"
    left = [item for item in call.sandbox.store if item.type.lower().startswith(prefix)]
    if left:
        text = (
            f"The subscription cannot be unregistered from resource namespace '{namespace}'. Please delete "
            f"existing resources for the provider namespace. Resources: {left[0].id}"
        )
        raise ArmError(409, "CannotUnregisterSubscription", text)
    call.sandbox.state("registrations")[namespace.lower()] = "Unregistered"
    return Response(200, _provider(call.sandbox, namespace))


# Namespaces that an environment registers though nothing of theirs is called here.
FURTHER_NAMESPACES = ("Microsoft.OperationsManagement", "Microsoft.KeyVault", "Microsoft.PolicyInsights")


def registration_state(sandbox: Sandbox, namespace: str) -> str:
    """A namespace's registration: what happened since the reset, else the settings."""
    known: str | None = sandbox.state("registrations").get(namespace.lower())
    if known is not None:
        return known
    initial: dict[str, bool] = {name.lower(): value for name, value in sandbox.settings["registered"].items()}
    return "Registered" if initial.get(namespace.lower(), True) else "NotRegistered"


def _namespace(call: Call) -> str:
    wanted = call.names["namespace"].lower()
    known = {name.lower(): name for name in (*FURTHER_NAMESPACES, *call.sandbox.router.namespaces.values())}
    if wanted not in known:
        text = f"The resource namespace '{call.names['namespace']}' is invalid."
        raise ArmError(404, "InvalidResourceNamespace", text)
    return known[wanted]


def _provider(sandbox: Sandbox, namespace: str) -> Json:
    return {
        "id": f"{sandbox.subscription}/providers/{namespace}",
        "namespace": namespace,
        "resourceTypes": [
            {
                "resourceType": kind.name,
                "locations": [location.display_name for location in regions().values()],
                "apiVersions": list(reversed(kind.api_versions)),
                "capabilities": "SupportsTags, SupportsLocation" if kind.tracked else "None",
            }
            for kind in sandbox.router.types_of(namespace)
        ],
        "registrationState": registration_state(sandbox, namespace),
        "registrationPolicy": "RegistrationRequired",
    }


# Resource groups.

GROUP_PATH = "subscriptions/{subscription}/resourceGroups/{group}"
GROUP_PERMISSION = "Microsoft.Resources/subscriptions/resourceGroups"


@provider.put(
    GROUP_PATH,
    scope="path",
    type_name="resourceGroups",
    permission=f"{GROUP_PERMISSION}/write",
    checks_group=False,
)
def resource_groups_create_or_update(call: Call) -> Response:
    """ResourceGroups_CreateOrUpdate: 201 for a new group, 200 for a known one; final at once.

    REST: https://learn.microsoft.com/rest/api/resources/resource-groups/create-or-update
    """
    location = call.body.get("location")
    if not location:
        text = "The location property is required for this definition."
        raise ArmError(400, "LocationRequired", text)
    name = call.names["group"]
    if not 1 <= len(name) <= 90 or name.endswith(".") or not _group_characters(name):
        text = f"The provided resource group name '{name}' has these invalid characters or a wrong length."
        raise ArmError(400, "InvalidResourceGroupName", text)
    folded = str(location).replace(" ", "").lower()
    if folded not in regions():
        text = (
            f"The provided location '{location}' is not available for resource group. List of available "
            "regions is "
            f"'{','.join(regions())}'."
        )
        raise ArmError(400, "LocationNotAvailableForResourceGroup", text)
    live = call.live
    if live is not None:
        if live.state == "Deleting":
            raise _being_deleted(live)
        if live.location != folded:
            text = (
                f"Invalid resource group location '{location}'. The Resource group already exists in "
                "location "
                f"'{live.location}'."
            )
            raise ArmError(409, "InvalidResourceGroupLocation", text)
    body = {key: value for key, value in call.body.items() if key in ("tags", "managedBy")}
    group = make_group(call.sandbox, call.id, folded, **body)
    return Response(201 if live is None else 200, group, latency_s=call.seconds("resource_group_write"))


def make_group(sandbox: Sandbox, group_id: str, location: str, **body: Any) -> Resource:
    """Make a resource group, or write it anew; services make theirs with `managedBy`."""
    content = {"location": location, **body, "properties": {"provisioningState": "Succeeded"}}
    return sandbox.store.put(group_id, GROUP, content)


@provider.get(GROUP_PATH, scope="path", type_name="resourceGroups", permission=f"{GROUP_PERMISSION}/read")
def resource_groups_get(call: Call) -> Response:
    """ResourceGroups_Get: the group."""
    return Response(200, call.live)


@provider.head(
    GROUP_PATH,
    scope="path",
    type_name="resourceGroups",
    permission=f"{GROUP_PERMISSION}/read",
    checks_group=False,
)
def resource_groups_check_existence(call: Call) -> Response:
    """ResourceGroups_CheckExistence: 204, or 404."""
    return Response(204 if call.live is not None else 404)


@provider.list(
    "subscriptions/{subscription}/resourceGroups",
    scope="path",
    type_name="resourceGroups",
    permission=f"{GROUP_PERMISSION}/read",
)
def resource_groups_list(call: Call) -> Response:
    """ResourceGroups_List: all groups; $filter on a tag's name and value.

    REST: https://learn.microsoft.com/rest/api/resources/resource-groups/list
    """
    groups = _filtered(call.sandbox.store.of_type(GROUP), call.query.get("$filter"))
    return Response(200, {"value": [group.body for group in groups]})


@provider.patch(GROUP_PATH, scope="path", type_name="resourceGroups", permission=f"{GROUP_PERMISSION}/write")
def resource_groups_update(call: Call) -> Response:
    """ResourceGroups_Update: tags and managedBy."""
    group = call.found()
    if group.state == "Deleting":
        raise _being_deleted(group)
    changes = {key: value for key, value in call.body.items() if key in ("tags", "managedBy")}
    return Response(200, call.sandbox.store.put(group.id, GROUP, {**group.body, **changes}))


@provider.delete(
    GROUP_PATH, scope="path", type_name="resourceGroups", permission=f"{GROUP_PERMISSION}/delete"
)
def resource_groups_delete(call: Call) -> Response:
    """ResourceGroups_Delete: 202; everything in it goes, in ranks, then the group.

    A resource that can't be deleted ends it: 409 ResourceGroupDeletionBlocked on the poll URL, the group and
    what is left stay (rolled back to Succeeded).

    REST: https://learn.microsoft.com/azure/azure-resource-manager/management/delete-resource-group
    """
    group = call.found()
    if group.state == "Deleting":
        running = call.sandbox.operations.running(group.id)
        if running is not None:
            headers = GROUP_DELETE.headers(running, call.base_url)
            return Response(202, headers=headers, retry_after_s=GROUP_DELETE.retry_after_s)
    sandbox = call.sandbox
    ranks = _ranks(sandbox, group)
    duration_s = call.seconds("resource_group_delete", group.id) + sum(seconds for _, seconds in ranks)
    begin_s = 0.0
    timers = []
    for resources, seconds in ranks:
        begin = functools.partial(_delete_all, sandbox, resources)
        timers.append(sandbox.clock.call_later(begin_s, begin))
        begin_s += seconds

    def settled(operation: Operation) -> None:
        if operation.status != "Succeeded":
            for timer in timers:
                timer.cancel()
            group.state = "Succeeded"

    def effect(_operation: Operation) -> None:
        left = _contents(sandbox, group)
        blocked = [item for item in left if _seconds(sandbox, item) is None]
        if blocked:
            raise _blocked(group, blocked)
        for item in left:
            sandbox.remove(item)

    operation = call.sandbox.operations.start(
        group,
        name=call.route.operation,
        duration_s=duration_s,
        polling=GROUP_DELETE,
        state="Deleting",
        effect=effect,
        settled=settled,
        deletes=True,
        fault=call.fault,
        api_version=call.api_version,
        principal=call.principal,
    )
    return Response(
        202, headers=GROUP_DELETE.headers(operation, call.base_url), retry_after_s=GROUP_DELETE.retry_after_s
    )


def _contents(sandbox: Sandbox, group: Resource) -> list[Resource]:
    """The tracked resources of a group."""
    found = []
    for resource in sandbox.store.under(group.id):
        kind = sandbox.router.type(resource.type)
        if kind is not None and kind.tracked:
            found.append(resource)
    return found


def _ranks(sandbox: Sandbox, group: Resource) -> list[tuple[list[Resource], float]]:
    """What goes when: the resources of each rank, and how long the slowest of them takes."""

    def rank(resource: Resource) -> int:
        kind = sandbox.router.type(resource.type)
        return kind.group_delete_rank if kind else 0

    result = []
    for _, members in itertools.groupby(sorted(_contents(sandbox, group), key=rank), key=rank):
        resources = list(members)
        result.append((resources, max(_seconds(sandbox, resource) or 0.0 for resource in resources)))
    return result


def _seconds(sandbox: Sandbox, resource: Resource) -> float | None:
    """How long a resource's deletion takes; None when it can't be deleted now."""
    kind = sandbox.router.type(resource.type)
    if kind is None:
        return 0.0
    if not kind.deletable_when_busy and not resource.settled:
        return None
    ask = sandbox.router.group_delete(resource.type)
    try:
        if ask is not None:
            return ask(resource, sandbox)
    except ArmError:
        return None
    return sandbox.durations.seconds(kind.delete_duration, resource.id) if kind.delete_duration else 0.0


def _delete_all(sandbox: Sandbox, resources: list[Resource]) -> None:
    """Begin to delete the resources of a rank; what runs on them is preempted."""
    for resource in resources:
        seconds = _seconds(sandbox, resource)
        if sandbox.store.get(resource.id) is not resource or seconds is None:
            continue
        if resource.state == "Deleting" and sandbox.operations.running(resource.id):
            continue
        sandbox.operations.start(
            resource,
            name="ResourceGroups_Delete",
            duration_s=seconds,
            polling=Polling(),
            state="Deleting" if resource.state is not None else None,
            deletes=True,
        )


def _blocked(group: Resource, blocked: list[Resource]) -> ArmError:
    text = (
        f"Deletion of resource group '{group.name}' failed as resources with identifiers "
        f"'{','.join(item.id.partition('/providers/')[2] for item in blocked)}' could not be deleted. The "
        "provisioning state of the resource group will be rolled back."
    )
    details = [
        {
            "code": "Conflict",
            "target": item.id,
            "message": f"The resource is in the provisioning state '{item.state}' and can't be deleted.",
        }
        for item in blocked
    ]
    return ArmError(409, "ResourceGroupDeletionBlocked", text, details=details)


def _being_deleted(group: Resource) -> ArmError:
    text = f"The resource group '{group.name}' is in deprovisioning state and cannot perform this operation."
    return ArmError(409, "ResourceGroupBeingDeleted", text, headers={"x-ms-failure-cause": "gateway"})


def _group_characters(name: str) -> bool:
    return all(character.isalnum() or character in "-_().·" for character in name)


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
    for resource in _filtered(found, call.query.get("$filter")):
        view = call.sandbox.view(resource)
        generic = ("id", "name", "type", "location", "tags", "kind", "sku", "identity", "zones", "managedBy")
        entry = {key: view[key] for key in generic if key in view}
        if "provisioningState" in call.query.get("$expand", ""):
            entry["provisioningState"] = resource.state or "Succeeded"
        shown.append(entry)
    return Response(200, {"value": shown})


def _filtered(resources: list[Resource], wanted: str | None) -> list[Resource]:
    """Apply an OData filter made of `x eq 'y'` joined by `and`."""
    if not wanted:
        return resources
    conditions: dict[str, str] = {}
    for part in wanted.split(" and "):
        name, _, value = part.strip().strip("()").partition(" eq ")
        if not value.strip().startswith("'"):
            text = (
                f"The filter '{wanted}' isn't emulated; it would be added to sandbox/providers/resources.py."
            )
            raise ArmError(501, "NotImplemented", text)
        conditions[name.strip().lower()] = value.strip().strip("'").lower()
    known = {"resourcetype", "name", "location", "tagname", "tagvalue"}
    if set(conditions) - known:
        text = f"The filter '{wanted}' isn't emulated; it would be added to sandbox/providers/resources.py."
        raise ArmError(501, "NotImplemented", text)

    def fits(resource: Resource) -> bool:
        facts = {
            "resourcetype": resource.type.lower(),
            "name": resource.name.lower(),
            "location": resource.location.lower(),
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


@provider.get("tags/default", scope="any", permission="Microsoft.Resources/tags/read")
def tags_get_at_scope(call: Call) -> Response:
    """Tags_GetAtScope: the tags of a resource, group or subscription."""
    return Response(200, _tags(call, _target(call)))


@provider.put("tags/default", scope="any", permission="Microsoft.Resources/tags/write")
def tags_create_or_update_at_scope(call: Call) -> Response:
    """Tags_CreateOrUpdateAtScope: replace all tags.

    REST: https://learn.microsoft.com/rest/api/resources/tags/create-or-update-at-scope
    """
    target = _target(call)
    return _retag(call, target, dict(call.properties.get("tags") or {}))


@provider.patch("tags/default", scope="any", permission="Microsoft.Resources/tags/write")
def tags_update_at_scope(call: Call) -> Response:
    """Tags_UpdateAtScope: merge, replace or delete tags."""
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
