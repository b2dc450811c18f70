"""Microsoft.Compute: the sizes on offer with their restrictions, quota usage, the scale sets of AKS.

Left out: virtual machines, disks and snapshots (known as types, for what stands in a group; a Cluster has disks),
images, and writes of scale sets.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from azure_sandbox.core.provider import Provider
from azure_sandbox.core.regions import region_name, regions
from azure_sandbox.core.responses import Response
from azure_sandbox.providers import vm_sizes
from azure_sandbox.providers.aks_pool_validation import used_vcpus

if TYPE_CHECKING:
    from azure_sandbox.core.call import Call

Json = dict[str, Any]

SKU_API_VERSIONS = ("2017-09-01", "2019-04-01", "2021-07-01")
API_VERSIONS = (
    "2022-11-01",
    "2023-03-01",
    "2023-07-01",
    "2023-09-01",
    "2024-03-01",
    "2024-07-01",
    "2024-11-01",
    "2025-04-01",
    "2025-11-01",
)

provider = Provider("Microsoft.Compute")
provider.type("skus", api_versions=SKU_API_VERSIONS, tracked=False)
provider.type("locations/usages", api_versions=API_VERSIONS, tracked=False)
for _name in ("virtualMachineScaleSets", "virtualMachines", "disks", "snapshots"):
    provider.type(_name, api_versions=API_VERSIONS)
provider.standard(
    "virtualMachineScaleSets/{scaleSet}",
    get="VirtualMachineScaleSets_Get",
    list_in_group="VirtualMachineScaleSets_List",
    list_in_subscription="VirtualMachineScaleSets_ListAll",
)


@provider.list("skus", scope="subscription")
def resource_skus_list(call: Call) -> Response:
    """ResourceSkus_List: one entry for each size and region, with zones, capabilities and restrictions.

    REST: https://learn.microsoft.com/rest/api/compute/resource-skus/list (the filter knows `location eq`
    only)
    """
    wanted = re.fullmatch(r"\s*location eq '([^']*)'\s*", call.query.get("$filter", ""))
    names = [region_name(wanted[1])] if wanted else list(regions())
    exceptions = call.sandbox.settings["vm_sizes"]
    value = [
        _sku(size, name, exceptions)
        for name in names
        for size in vm_sizes.sizes().values()
        if name in regions()
    ]
    return Response(200, {"value": [entry for entry in value if entry is not None]})


def _sku(size: vm_sizes.VmSize, location: str, exceptions: list[Json]) -> Json | None:
    offer = vm_sizes.offer(location, size, exceptions)
    if not offer.offered:
        return None
    restrictions: list[Json] = []
    if not offer.allowed:
        restrictions.append(
            {
                "type": "Location",
                "values": [location],
                "restrictionInfo": {"locations": [location]},
                "reasonCode": "NotAvailableForSubscription",
            }
        )
    closed = list(offer.zones if not offer.allowed else offer.closed_zones)
    if closed:
        restrictions.append(
            {
                "type": "Zone",
                "values": [location],
                "restrictionInfo": {"locations": [location], "zones": closed},
                "reasonCode": "NotAvailableForSubscription",
            }
        )
    capabilities = {
        "vCPUs": size.vcpus,
        "MemoryGB": size.memory_gb,
        "vCPUsAvailable": size.vcpus,
        "PremiumIO": "True",
        "CpuArchitectureType": "x64",
        "AcceleratedNetworkingEnabled": "True",
        "HyperVGenerations": "V1,V2",
    }
    return {
        "resourceType": "virtualMachines",
        "name": size.name,
        "tier": "Standard",
        "size": size.name.removeprefix("Standard_"),
        "family": size.family,
        "locations": [location],
        "locationInfo": [{"location": location, "zones": list(offer.zones), "zoneDetails": []}],
        "capabilities": [{"name": name, "value": str(value)} for name, value in capabilities.items()],
        "restrictions": restrictions,
    }


@provider.list("locations/{location}/usages", scope="subscription")
def usage_list(call: Call) -> Response:
    """Usage_List: vCPU in use and allowed, over all and by family.

    REST: https://learn.microsoft.com/rest/api/compute/usage/list
    """
    used = used_vcpus(call.sandbox, call.names["location"])
    limits = call.sandbox.settings["quota"]
    rows = [("cores", "Total Regional vCPUs", sum(used.values()))]
    rows += [(name, shown, used.get(name, 0)) for name, shown in vm_sizes.families().items()]
    value = [
        {
            "unit": "Count",
            "currentValue": current,
            "limit": vm_sizes.quota(name, limits),
            "name": {"value": name, "localizedValue": shown},
        }
        for name, shown, current in rows
    ]
    return Response(200, {"value": value})
