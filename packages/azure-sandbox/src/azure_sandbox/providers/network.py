"""Microsoft.Network: public IP addresses, and the reads of what AKS makes for itself.

Polling: `Azure-AsyncOperation` with Retry-After 1 (2019), `Updating` first
(https://github.com/Azure/azure-powershell, recording TestPublicIpAddressZones.json; shape of 2025:
https://github.com/Azure/azure-cli, recording test_network_public_ip_zone.yaml).

Left out: IPv6, prefixes, DDoS plans, moving between SKUs, and writes of load balancers, security groups and private
endpoints. Virtual networks and subnets are in `virtual_networks.py`.
"""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING, Any

from azure_sandbox.core.operations import Polling
from azure_sandbox.core.provider import Provider
from azure_sandbox.core.regions import find_region
from azure_sandbox.core.responses import ArmError, Response
from azure_sandbox.core.words import as_written

if TYPE_CHECKING:
    from azure_sandbox.core.call import Call
    from azure_sandbox.core.resource import Resource
    from azure_sandbox.server.instance import Sandbox

Json = dict[str, Any]

API_VERSIONS = (
    "2022-07-01",
    "2023-09-01",
    "2023-11-01",
    "2024-01-01",
    "2024-03-01",
    "2024-05-01",
    "2024-07-01",
    "2024-10-01",
    "2025-01-01",
    "2025-03-01",
    "2025-05-01",
    "2025-07-01",
    "2025-09-01",
    "2026-01-01",
    "2026-03-01",
)
PUBLIC_IP = "Microsoft.Network/publicIPAddresses"
LOCATION_PATH = "/subscriptions/{subscription}/providers/Microsoft.Network/locations/{location}"
WRITE = Polling(async_path=f"{LOCATION_PATH}/operations/{{id}}", retry_after_s=1)
DELETE = Polling(
    async_path=f"{LOCATION_PATH}/operations/{{id}}",
    location_path=f"{LOCATION_PATH}/operationResults/{{id}}",
    location_done="no content",
    retry_after_s=10,
)
# https://learn.microsoft.com/azure/azure-resource-manager/management/azure-subscription-service-limits#networking-limits
STATIC_ADDRESSES = 1000

provider = Provider("Microsoft.Network")
provider.type("publicIPAddresses", api_versions=API_VERSIONS, delete_duration="public_ip_delete")
for _name in (
    "loadBalancers",
    "networkSecurityGroups",
    # Known as types only, for what stands in a group.
    "applicationGateways",
    "natGateways",
    "networkInterfaces",
    "privateDnsZones",
    "privateEndpoints",
    "privateLinkServices",
    "publicIPPrefixes",
    "routeTables",
):
    provider.type(_name, api_versions=API_VERSIONS)
provider.type("privateDnsZones/virtualNetworkLinks", api_versions=API_VERSIONS, tracked=True)
provider.type("locations/usages", api_versions=API_VERSIONS, tracked=False)
provider.type("locations/CheckDnsNameAvailability", api_versions=API_VERSIONS, tracked=False)

provider.standard(
    "publicIPAddresses/{address}",
    get="PublicIPAddresses_Get",
    list_in_group="PublicIPAddresses_List",
    list_in_subscription="PublicIPAddresses_ListAll",
)
provider.standard("loadBalancers/{balancer}", get="LoadBalancers_Get", list_in_group="LoadBalancers_List")
provider.standard(
    "networkSecurityGroups/{group}",
    get="NetworkSecurityGroups_Get",
    list_in_group="NetworkSecurityGroups_List",
)
# Known for what stands in a group; whoever puts one into the sandbox says which network interfaces are its.
provider.standard("privateEndpoints/{endpoint}", get="PrivateEndpoints_Get")
provider.standard("privateLinkServices/{service}", get="PrivateLinkServices_Get")


def new_address(sandbox: Sandbox, key: str) -> str:
    """An address that no other resource has, drawn from the seed, out of Azure's 20.0.0.0/8."""
    taken = {str(item.properties.get("ipAddress")) for item in sandbox.store.of_type(PUBLIC_IP)}
    taken.add(str(sandbox.settings["egress_address"]))
    source = sandbox.rng("address", key, str(sandbox.uuid("address", key)))
    while True:
        drawn = ipaddress.IPv4Address(source.randrange(int(ipaddress.IPv4Address("20.33.0.0")), 352321535))
        if str(drawn) not in taken and drawn.is_global:
            return str(drawn)


# https://learn.microsoft.com/rest/api/virtualnetwork/public-ip-addresses/create-or-update
WORDS = {
    "sku.name": ("Basic", "Standard", "StandardV2"),
    "sku.tier": ("Regional", "Global"),
    "properties.publicIPAddressVersion": ("IPv4", "IPv6"),
    "properties.publicIPAllocationMethod": ("Static", "Dynamic"),
}


@provider.put("publicIPAddresses/{address}")
def public_ip_addresses_create_or_update(call: Call) -> Response:
    """PublicIPAddresses_CreateOrUpdate: 201 for a new address, 200 for a known one; then `Updating`.

    REST: https://learn.microsoft.com/rest/api/virtualnetwork/public-ip-addresses/create-or-update
    """
    location = call.body["location"]
    region = find_region(location)
    if region is None:
        text = f"The provided location '{location}' is not available for resource type '{call.type}'."
        raise ArmError(400, "LocationNotAvailableForResourceType", text)
    if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,78}[A-Za-z0-9_])?", call.names["address"]):
        raise ArmError(400, "InvalidResourceName", f"Resource name {call.names['address']} is invalid.")
    live = call.live
    _check_shapes(call.body)
    call.body = as_written(call.body, WORDS)
    if live is not None:
        _check_not_busy(call, live)
    sku = {"name": "Standard", "tier": "Regional", **(call.body.get("sku") or {})}
    zones = [str(zone) for zone in call.body.get("zones") or []]
    properties = dict(call.properties)
    method = properties.get("publicIPAllocationMethod") or "Dynamic"
    _check_zones(call, zones, region.zones, region.name)
    if sku["name"] == "Standard" and method != "Static":
        # https://learn.microsoft.com/azure/virtual-network/ip-services/public-ip-addresses#sku
        text = f"Standard sku publicIp {call.id} must have AllocationMethod set to Static."
        raise ArmError(400, "PublicIPAddressWithStandardSkuMustBeStatic", text)
    if live is not None:
        _check_change(live, sku, zones)
    _check_limit(call)
    label = (properties.get("dnsSettings") or {}).get("domainNameLabel")
    if label:
        properties["dnsSettings"] = _dns(call, str(label), region.name)
    address = live.properties.get("ipAddress") if live is not None else None
    properties |= {
        "publicIPAllocationMethod": method,
        "publicIPAddressVersion": properties.get("publicIPAddressVersion") or "IPv4",
        "idleTimeoutInMinutes": properties.get("idleTimeoutInMinutes") or 4,
        "ipTags": properties.get("ipTags") or [],
        "resourceGuid": str(call.sandbox.uuid("resourceGuid", call.id)),
        "ddosSettings": {"protectionMode": "VirtualNetworkInherited"},
        **({"ipAddress": address} if address else {}),
    }
    properties.pop("provisioningState", None)
    body = {"location": region.name, "tags": call.body.get("tags"), "sku": sku, "properties": properties}
    if zones:
        body["zones"] = zones
    resource = call.put({key: value for key, value in body.items() if value is not None})

    def allocate(_operation: Any) -> None:
        resource.properties.setdefault("ipAddress", new_address(call.sandbox, resource.id))

    return call.begin(resource, duration="public_ip_write", polling=WRITE, state="Updating", effect=allocate)


def _check_shapes(body: Json) -> None:
    zones, properties = body.get("zones") or [], body.get("properties") or {}
    label = (properties.get("dnsSettings") or {}) if isinstance(properties.get("dnsSettings"), dict) else None
    wrong = not isinstance(zones, list) or (properties.get("dnsSettings") is not None and label is None)
    if wrong:
        text = "Could not parse the request body: zones is a list and dnsSettings an object."
        raise ArmError(400, "InvalidRequestFormat", text)


def _check_not_busy(call: Call, live: Resource) -> None:
    """One write at a time: https://github.com/microsoft/AzureTRE/issues/2222."""
    running = call.sandbox.operations.running(live.id)
    if running is not None:
        url = WRITE.url(WRITE.async_path or "", running, call.base_url).partition("?")[0]
        raise ArmError(
            409,
            "AnotherOperationInProgress",
            "Another operation on this or dependent resource is in progress. To retrieve status of the "
            f"operation use uri: {url}?api-version={call.api_version}.",
        )


def _check_zones(call: Call, wanted: list[str], offered: tuple[str, ...], region: str) -> None:
    closed = [zone for zone in wanted if zone not in offered]
    if closed:
        # The form of the text: https://github.com/Azure/azure-cli/issues (InvalidAvailabilityZone).
        raise ArmError(
            400,
            "InvalidAvailabilityZone",
            f"The zone(s) '{','.join(wanted)}' for resource '{PUBLIC_IP}/{call.names['address']}' is not "
            f"supported. The supported zones for location '{region}' are '{','.join(offered)}'",
        )


def _check_change(live: Resource, sku: Json, zones: list[str]) -> None:
    if live.body["sku"]["name"] != sku["name"]:
        text = f"Sku property of resource {live.id} can't be changed."
        raise ArmError(400, "PublicIPAddressSkuUpdateNotAllowed", text)
    if sorted(zones) != sorted(live.body.get("zones") or []):
        # https://learn.microsoft.com/azure/virtual-network/ip-services/public-ip-addresses#availability-zone
        text = f"Resource {live.id} has an existing availability zone constraint and can't be changed."
        raise ArmError(400, "ResourceAvailabilityZonesCannotBeModified", text)


def _check_limit(call: Call) -> None:
    """Refuse an address over the quota (setting `quota`, name `StaticPublicIPAddresses`).

    Text:
    https://learn.microsoft.com/troubleshoot/azure/azure-kubernetes/create-upgrade-delete/error-code-publicipcountlimitreached
    """
    limit = int(call.sandbox.settings["quota"].get("StaticPublicIPAddresses", STATIC_ADDRESSES))
    if call.live is None and len(call.sandbox.store.of_type(PUBLIC_IP)) >= limit:
        text = (
            f"Cannot create more than {limit} public IP addresses for this subscription in this region. "
            "Fewer IPs or a quota raise are needed."
        )
        raise ArmError(400, "PublicIPCountLimitReached", text)


def _dns(call: Call, label: str, region: str) -> Json:
    fqdn = f"{label}.{region}.cloudapp.azure.com"
    for other in call.sandbox.store.of_type(PUBLIC_IP):
        taken = (other.properties.get("dnsSettings") or {}).get("fqdn")
        if taken == fqdn and other is not call.live:
            text = f"DNS record {fqdn} is already used by another public IP."
            raise ArmError(400, "DnsRecordInUse", text)
    return {"domainNameLabel": label, "fqdn": fqdn}


@provider.patch("publicIPAddresses/{address}")
def public_ip_addresses_update_tags(call: Call) -> Response:
    """PublicIPAddresses_UpdateTags: 200, at once.

    REST: https://learn.microsoft.com/rest/api/virtualnetwork/public-ip-addresses/update-tags
    """
    address = call.found()
    return Response(
        200,
        call.sandbox.store.put(
            address.id, address.type, {**address.body, "tags": call.body.get("tags") or {}}
        ),
    )


@provider.delete("publicIPAddresses/{address}")
def public_ip_addresses_delete(call: Call) -> Response:
    """PublicIPAddresses_Delete: 202, or 204 when there is none.

    REST: https://learn.microsoft.com/rest/api/virtualnetwork/public-ip-addresses/delete
    """
    return call.begin_delete(duration="public_ip_delete", polling=DELETE)


@provider.get("locations/{location}/CheckDnsNameAvailability", scope="subscription")
def check_dns_name_availability(call: Call) -> Response:
    """CheckDnsNameAvailability: whether a label is free in a region.

    REST: https://learn.microsoft.com/rest/api/virtualnetwork/check-dns-name-availability
    """
    label = call.query.get("domainnamelabel", "")
    fqdn = f"{label}.{call.names['location'].lower()}.cloudapp.azure.com"
    taken = any(
        (item.properties.get("dnsSettings") or {}).get("fqdn") == fqdn
        for item in call.sandbox.store.of_type(PUBLIC_IP)
    )
    return Response(200, {"available": not taken})


@provider.list("locations/{location}/usages", scope="subscription")
def usages_list(call: Call) -> Response:
    """Usages_List: the public IP addresses of a region against their limit.

    REST: https://learn.microsoft.com/rest/api/virtualnetwork/usages/list
    """
    location = call.names["location"].lower()
    here = [item for item in call.sandbox.store.of_type(PUBLIC_IP) if item.location == location]
    limit = int(call.sandbox.settings["quota"].get("StaticPublicIPAddresses", STATIC_ADDRESSES))
    names = (
        ("PublicIPAddresses", "Public IP Addresses"),
        ("StaticPublicIPAddresses", "Static Public IP Addresses"),
        ("StandardSkuPublicIpAddresses", "Public IPv4 Addresses - Standard"),
    )
    value = [
        {
            "id": f"{call.scope}/providers/Microsoft.Network/locations/{location}/usages/{name}",
            "unit": "Count",
            "currentValue": len(here),
            "limit": limit,
            "name": {"value": name, "localizedValue": shown},
        }
        for name, shown in names
    ]
    return Response(200, {"value": value})
