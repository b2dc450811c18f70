"""If-Match on a write: sent bare, as everybody known to work with AKS does, and quoted where that is refused.

AKS's eTag is a bare GUID in the body, and the Go SDK, the aks-preview extension and the docs' example
(https://learn.microsoft.com/azure/aks/use-etags) send it back as it is. RFC 9110 and the SDK for Python put quotes
around it. No record of Azure's answer to the quoted form is known, so either form may be the one that is refused.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aks_postgres.arm.client import Azure
from aks_postgres.arm.responses import Answer, ArmFault, Json
from aks_postgres.reports.journal import journal


def etag_of(live: Json | None) -> str | None:
    """The ETag in a resource's body, wherever its type has it."""
    have = live or {}
    properties = have.get("properties")
    inner = properties.get("eTag") if isinstance(properties, dict) else None
    found = have.get("eTag") or have.get("etag") or inner
    return str(found) if found else None


async def send_if_unchanged(
    azure: Azure,
    request: Callable[[dict[str, str]], Awaitable[Answer]],
    look: Callable[[], Awaitable[Answer]],
    live: Json,
) -> Answer:
    """Send a request on the condition that the resource still is what was read.

    A refusal (412) while the resource still shows the very ETag that was sent can only be about its form: the other
    one is tried once, and kept for the rest of the run if it works.

    Args:
        azure: the connection to Azure, which remembers the form.
        request: sends it, given the headers to add.
        look: reads the resource.
        live: the resource that the request was made from.

    Raises:
        ArmFault: as `request` does.
    """
    etag = etag_of(live)
    if etag is None:
        return await request({})
    quotes = azure.quotes_etags
    try:
        return await request(_header(etag, quotes))
    except ArmFault as fault:
        if fault.status != 412 or etag_of((await look()).body) != etag:
            raise
        journal().note(
            f"If-Match {_form(quotes)} is refused though nothing has changed; sent {_form(not quotes)}"
        )
    answer = await request(_header(etag, not quotes))
    azure.quotes_etags = not quotes
    return answer


def _header(etag: str, quotes: bool) -> dict[str, str]:
    bare = etag.strip('"')
    return {"If-Match": f'"{bare}"' if quotes else bare}


def _form(quotes: bool) -> str:
    return "with quotes" if quotes else "without quotes"
