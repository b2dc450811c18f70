"""What an AKS cluster is to the PostgreSQL stand-in in it: workload identity, load balancers' addresses and disks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from azure_sandbox.kubernetes.controllers.postgres.surroundings import Surroundings
from azure_sandbox.kubernetes.service_account_tokens import Sign
from azure_sandbox.providers.aks_node_group import group_id
from azure_sandbox.providers.aks_validation import at

if TYPE_CHECKING:
    from azure_sandbox.core.resource import Resource
    from azure_sandbox.server.instance import Sandbox

Json = dict[str, Any]

ADDRESSES = "Microsoft.Network/publicIPAddresses"
DISKS = "Microsoft.Compute/disks"
PIP_NAME = "service.beta.kubernetes.io/azure-pip-name"
PIP_GROUP = "service.beta.kubernetes.io/azure-load-balancer-resource-group"


def surroundings(sandbox: Sandbox, cluster: Resource, sign: Sign) -> Surroundings:
    """Around the stand-in of a cluster."""

    def tenant() -> str | None:
        has_identity = at(cluster.properties, "securityProfile.workloadIdentity.enabled")
        has_issuer = at(cluster.properties, "oidcIssuerProfile.enabled")
        works = has_identity and has_issuer and sandbox.settings["identity_webhook"]
        return sandbox.tenant_id if works else None

    def public_address(service: Json) -> str | None:
        annotations = service["metadata"].get("annotations") or {}
        name = annotations.get(PIP_NAME)
        group = annotations.get(PIP_GROUP) or cluster.properties.get("nodeResourceGroup")
        if not name:
            return None
        path = f"{sandbox.subscription}/resourceGroups/{group}/providers/{ADDRESSES}/{name}"
        found = sandbox.store.get(path)
        return None if found is None else found.properties.get("ipAddress")

    def make_disk(name: str, wanted: Json) -> str:
        resource_id = f"{group_id(sandbox, cluster)}/providers/{DISKS}/{name}"
        properties = {**wanted["properties"], "provisioningState": "Succeeded"}
        body = {"location": cluster.location, **wanted, "properties": properties}
        return sandbox.store.put(resource_id, DISKS, body).id

    def delete_disk(resource_id: str) -> None:
        if (disk := sandbox.store.get(resource_id)) is not None:
            sandbox.remove(disk)

    return Surroundings(
        host=sandbox.postgres,
        tenant=tenant,
        sign=sign,
        public_address=public_address,
        egress_address=lambda: str(sandbox.settings["egress_address"]),
        make_disk=make_disk,
        delete_disk=delete_disk,
    )
