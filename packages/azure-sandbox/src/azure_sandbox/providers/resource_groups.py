"""Microsoft.Resources: resource groups, made at once and deleted slowly, with everything in them.

https://learn.microsoft.com/azure/azure-resource-manager/management/delete-resource-group
"""

from __future__ import annotations

import functools
import itertools
from typing import TYPE_CHECKING, Any

from azure_sandbox.core.operations import Operation, Polling
from azure_sandbox.core.regions import regions
from azure_sandbox.core.responses import ArmError, Response
from azure_sandbox.providers.resources import (
    GROUP,
    GROUP_PATH,
    GROUP_PERMISSION,
    filtered,
    make_group,
    provider,
)

if TYPE_CHECKING:
    from azure_sandbox.core.call import Call
    from azure_sandbox.core.resource import Resource
    from azure_sandbox.server.instance import Sandbox

Json = dict[str, Any]

# 202 and Location until the end, then 200 without a body; 15 s between polls.
# https://github.com/Azure/azure-powershell (Aks.Test recording TestAksNodePool.json)
GROUP_DELETE = Polling(
    location_path="/subscriptions/{subscription}/operationresults/{id}",
    location_done="empty",
    retry_after_s=15,
)


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
            f"regions is '{','.join(regions())}'."
        )
        raise ArmError(400, "LocationNotAvailableForResourceGroup", text)
    live = call.live
    if live is not None:
        if live.state == "Deleting":
            raise _being_deleted(live)
        if live.location != folded:
            text = (
                f"Invalid resource group location '{location}'. The Resource group already exists in "
                f"location '{live.location}'."
            )
            raise ArmError(409, "InvalidResourceGroupLocation", text)
    body = {key: value for key, value in call.body.items() if key in ("tags", "managedBy")}
    group = make_group(call.sandbox, call.id, folded, **body)
    return Response(201 if live is None else 200, group, latency_s=call.seconds("resource_group_write"))


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
    groups = filtered(call.sandbox.store.of_type(GROUP), call.query.get("$filter"))
    return Response(200, {"value": [group.body for group in groups]})


@provider.patch(GROUP_PATH, scope="path", type_name="resourceGroups", permission=f"{GROUP_PERMISSION}/write")
def resource_groups_update(call: Call) -> Response:
    """ResourceGroups_Update: tags and managedBy."""
    group = call.found()
    if group.state == "Deleting":
        raise _being_deleted(group)
    changes = {key: value for key, value in call.body.items() if key in ("tags", "managedBy")}
    group = call.sandbox.store.put(group.id, GROUP, {**group.body, **changes})
    return Response(200, group, latency_s=call.seconds("resource_group_write"))


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
