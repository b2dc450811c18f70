"""Virtual networks that somebody has made, for clusters to stand in."""

from typing import Any

from azure_sandbox.client import SandboxProcess

GROUP, API_VERSION = "rg-network", "2026-03-01"


def make_subnet(azure: SandboxProcess, prefix: str = "10.8.0.0/24", **other: Any) -> str:
    """A network of its own group with one subnet; the subnet's ID."""
    group = f"{azure.subscription}/resourceGroups/{GROUP}"
    region = other.pop("region", "canadacentral")
    made = azure.arm("PUT", group, {"location": "canadacentral"}, api_version="2024-11-01")
    assert made.status_code in (200, 201)
    subnet = {"name": "nodes", "properties": {"addressPrefix": prefix, **other}}
    body = {
        "location": region,
        "properties": {"addressSpace": {"addressPrefixes": ["10.0.0.0/8"]}, "subnets": [subnet]},
    }
    network = f"{group}/providers/Microsoft.Network/virtualNetworks/spoke"
    made = azure.arm("PUT", network, body, api_version=API_VERSION)
    assert made.status_code in (200, 201), made.text
    azure.step(60)
    return f"{network}/subnets/nodes"


def delegated_to(service: str) -> dict[str, Any]:
    """The field of a subnet that is delegated."""
    return {"delegations": [{"name": "it", "properties": {"serviceName": service}}]}
