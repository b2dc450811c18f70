"""The public cloud's own hosts: what holds where a cloud doesn't say otherwise, and the only place that names them.

Those of other clouds come from their ARM's metadata (`arm.cloud_metadata`).
"""

from __future__ import annotations

from urllib.parse import urlsplit

ARM = "https://management.azure.com"
PORTAL = "https://portal.azure.com"
LOGIN = "https://login.microsoftonline.com"
STORAGE_SUFFIX = "core.windows.net"
# Of accounts in a DNS zone: https://learn.microsoft.com/azure/storage/common/storage-account-overview
ZONE_SUFFIX = "storage.azure.net"
DNS_SUFFIX = "cloudapp.azure.com"

# The same in every cloud: https://learn.microsoft.com/azure/storage/blobs/authorize-access-azure-active-directory
STORAGE_AUDIENCE = "https://storage.azure.com"

# https://learn.microsoft.com/azure/managed-grafana/how-to-api-calls; the same in every cloud, as az has it.
GRAFANA_AUDIENCE = "ce34e7e5-485f-4d76-964f-b3d2b16d1e4f"
GRAFANA_SUFFIXES = (".grafana.azure.com", ".grafana.azure.us", ".grafana.azure.cn")


def dns_suffix(arm: str) -> str:
    """Return what names of public IP addresses end in, by ARM's own URL; no metadata tells it.

    It is ARM's domain in each of Azure's clouds: `ResourceManagerVMDNSSuffix` in
    https://github.com/Azure/go-autorest/blob/main/autorest/azure/environments.go.

    Args:
        arm: ARM's URL, such as https://management.usgovcloudapi.net.
    """
    first, _, domain = (urlsplit(arm).hostname or "").partition(".")
    return f"cloudapp.{domain}" if first == "management" and domain else DNS_SUFFIX
