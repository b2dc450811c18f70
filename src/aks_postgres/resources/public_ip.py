"""Public IP addresses.

https://learn.microsoft.com/rest/api/virtualnetwork/public-ip-addresses
"""

from __future__ import annotations

from aks_postgres.arm.kind import Kind
from aks_postgres.arm.responses import Json
from aks_postgres.spec.environment import EnvironmentSpec

KIND = Kind(
    "Microsoft.Network/publicIPAddresses",
    "public IP",
    "Network",
    lambda azure: azure.network.public_ip_addresses,
    plan_word="public IP address",
    put="begin_create_or_update",
    delete="begin_delete",
    read_version="2026-03-01",
    create_s=3,
    create_deadline_s=300,
    brings=("address: known after creation",),
    step="public IP address",
)


def desired(spec: EnvironmentSpec) -> Json:
    """Return what the address shall be when it is made: static, in all zones."""
    return {
        "location": spec.region,
        "sku": {"name": "Standard"},
        "zones": ["1", "2", "3"],
        "properties": {"publicIPAllocationMethod": "Static", "idleTimeoutInMinutes": 4},
    }
