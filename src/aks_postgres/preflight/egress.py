"""Which address this machine comes from, as the API server's authorized ranges see it.

The guide asks OpenDNS (dig +short myip.opendns.com @resolver1.opendns.com); a worker without DNS to the
outside can name a URL that answers with the caller's address.
"""

from __future__ import annotations

import asyncio
import os
import socket

import aiohttp

from aks_postgres.arm.client import Azure
from aks_postgres.arm.responses import clean
from aks_postgres.errors import PermanentError

EGRESS_URL_VARIABLE = "AKS_POSTGRES_EGRESS_URL"
_NAME, _SERVER = "myip.opendns.com", "resolver1.opendns.com"
# Real seconds; either answers within one.
_TIMEOUT_S = 8.0
_LONGEST_ANSWER = 64


class EgressUnknown(PermanentError):
    """The address couldn't be found; says which way was tried."""

    def __init__(self, message: str) -> None:
        super().__init__(message, way_out="Set network.worker_address.")


async def egress_address(azure: Azure) -> str:
    """This machine's public IPv4 address, unchecked.

    Raises:
        EgressUnknown: nobody told.
    """
    url = os.environ.get(EGRESS_URL_VARIABLE)
    return await _from_url(azure, url) if url else await address_from_dns()


async def _from_url(azure: Azure, url: str) -> str:
    try:
        async with (
            asyncio.timeout(_TIMEOUT_S),
            azure.http.get(url, headers={"Accept-Encoding": "identity"}) as response,
        ):
            text = (await response.content.read(_LONGEST_ANSWER)).decode("ascii", "replace").strip()
            if response.status != 200:
                raise EgressUnknown(f"{url} ({EGRESS_URL_VARIABLE}) answered with status {response.status}")
            return text
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        reason = clean(str(error)) or f"no answer within {_TIMEOUT_S:g} s"
        raise EgressUnknown(f"{url} ({EGRESS_URL_VARIABLE}) couldn't be asked: {reason}") from None


async def address_from_dns(server: str = _SERVER, port: int = 53, timeout_s: float = _TIMEOUT_S) -> str:
    """The address that a resolver sees this worker come from."""
    import dns.asyncresolver
    import dns.exception

    try:
        async with asyncio.timeout(timeout_s):
            # Over IPv6 OpenDNS sees another address than the API server will.
            resolver = await dns.asyncresolver.make_resolver_at(server, port, family=socket.AF_INET)
            answer = await resolver.resolve(_NAME, "A", lifetime=timeout_s)
            return str(answer[0])
    except (dns.exception.DNSException, OSError, TimeoutError) as error:
        reason = clean(str(error)) or f"no answer within {timeout_s:g} s"
        raise EgressUnknown(f"DNS ({_NAME} at {server}) didn't tell: {reason}") from None
