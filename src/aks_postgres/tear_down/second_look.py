"""Asking in a second way what a list didn't show, before anything is deleted because of it.

A list that is well-formed and leaves something out can't be told from the truth. Where the same can be read by a name
that we compute, or from somebody else, it is; what contradicts is a refusal that names both. docs/tear-down.md says
which lists have no second way.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from azure.core.exceptions import HttpResponseError

from aks_postgres.arm.client import Azure
from aks_postgres.arm.resource import look_at
from aks_postgres.arm.responses import Json, Turned, listing
from aks_postgres.arm.retry import all_ended, read, read_list
from aks_postgres.errors import Finding
from aks_postgres.reports.outputs import Target
from aks_postgres.resources.kinds import owned_ids
from aks_postgres.spec.environment import EnvironmentSpec
from aks_postgres.spec.names import Names

# https://github.com/kubernetes-sigs/azuredisk-csi-driver/blob/master/docs/driver-parameters.md
_CLAIM, _NAMESPACE = "kubernetes.io-created-for-pvc-name", "kubernetes.io-created-for-pvc-namespace"
_DISKS = "microsoft.compute/disks"
# A generation before the newest that is known of is gone or in the list; two more are asked for by name.
_NEWEST = 3
_AGAIN = "Run again in some minutes; if it stays so, look at what answers in Azure's place."


async def hidden_groups(
    azure: Azure, spec: EnvironmentSpec, subscription_id: str, groups: Sequence[Json], newest: int
) -> list[Finding]:
    """The environment's groups that Azure knows by name and doesn't list.

    Args:
        spec: the environment.
        subscription_id: where it is.
        groups: what Azure lists.
        newest: the highest number that a generation may have.
    """
    listed = {str(group["name"]).casefold() for group in groups}
    every = [
        Names.of(spec, subscription_id, number) for number in range(max(1, newest - _NEWEST + 1), newest + 1)
    ]
    asked = dict.fromkeys(name for names in every for name in (names.resource_group, names.backup_group))
    missing = [name for name in asked if name.casefold() not in listed]
    get = azure.resources.resource_groups.get
    found = await all_ended(read(f"resource group {name}", get, name) for name in missing)
    return [
        Finding(
            f"resource group {name}: Azure's list of resource groups doesn't show it, and reading it by name does. "
            "What isn't listed isn't looked at.",
            _AGAIN,
        )
        for name, live in zip(missing, found, strict=True)
        if live is not None
    ]


async def hidden_resources(
    azure: Azure, spec: EnvironmentSpec, target: Target, contents: Iterable[Json]
) -> list[Finding]:
    """The resources of a generation that Azure knows by ID and doesn't list in its group."""
    listed = {str(resource["id"]).casefold() for resource in contents}
    owned = owned_ids(spec, target)
    missing = sorted(set(owned) - listed)
    found = await all_ended(
        look_at(owned[resource_id].at(azure, resource_id, label=resource_id)) for resource_id in missing
    )
    return [
        Finding(
            f"{resource_id.rpartition('/providers/')[2]}: the list of what is in {target.names.resource_group} doesn't "
            "show it, and reading it by its ID does. Something else may be missing from that list, and would go along.",
            _AGAIN,
        )
        for resource_id, live in zip(missing, found, strict=True)
        if live is not None
    ]


def hidden_claims(contents: Iterable[Json], claims: Iterable[Json]) -> list[Finding]:
    """The disks of a node group that were made for a claim which the API server doesn't list.

    Args:
        contents: what is in the node resource group.
        claims: the PersistentVolumeClaims of all namespaces.
    """
    known = {(item["metadata"].get("namespace"), item["metadata"]["name"]) for item in claims}
    problems = []
    for resource in contents:
        tags = {key.casefold(): value for key, value in (resource.get("tags") or {}).items()}
        claim = (tags.get(_NAMESPACE), tags.get(_CLAIM))
        if str(resource["type"]).casefold() == _DISKS and claim[1] and claim not in known:
            problems.append(
                Finding(
                    f"disk {resource['name']} was made for the PersistentVolumeClaim {claim[0]}/{claim[1]}, which the "
                    "API server doesn't list, and goes with the cluster.",
                    f"Save what is on it and delete the disk (az disk delete --ids {resource['id']}).",
                )
            )
    return problems


async def locks_at(azure: Azure, group_id: str, api_version: str) -> list[Json]:
    """The locks at, above and below a resource group, asked for there; none where there is no such group."""

    async def fetch() -> list[Json]:
        turned, where = Turned(), f"{group_id}/providers/Microsoft.Authorization/locks"
        with listing():
            try:
                page = (await azure.get(where, api_version)).body
            except HttpResponseError as error:
                if error.status_code == 404:
                    return []
                raise
            found = list(page["value"])
            while url := page.get("nextLink"):
                turned.to(str(url))
                page = (await azure.get(str(url))).body
                found += page["value"]
        return found

    return await read_list(f"locks of {group_id.rpartition('/')[2]}", fetch)
