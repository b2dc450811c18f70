"""What a cloud says of itself: portal, sign-in, audiences and DNS suffixes differ between Azure's clouds.

https://learn.microsoft.com/azure/azure-resource-manager/management/ (metadata endpoints), as az reads it for
https://learn.microsoft.com/cli/azure/manage-clouds-azure-cli
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any

import aiohttp

from aks_postgres.arm.response_checks import read_bounded
from aks_postgres.arm.responses import ArmFault
from aks_postgres.spec import clouds

_API_VERSION = "2022-09-01"
# Real seconds. It is one small answer, without signing in.
_WITHIN_S = 5


@dataclass(frozen=True)
class CloudFacts:
    """One cloud, by its own words; by default the public one's.

    Attributes:
        portal: URL of the portal, without a slash at its end.
        login: URL of Microsoft Entra ID, likewise.
        audience: what a token for ARM is for.
        storage_suffix: DNS suffix of storage.
        dns_suffix: what names of public IP addresses end in.
    """

    portal: str = clouds.PORTAL
    login: str = clouds.LOGIN
    audience: str = clouds.ARM
    storage_suffix: str = clouds.STORAGE_SUFFIX
    dns_suffix: str = clouds.DNS_SUFFIX


async def cloud_facts(http: aiohttp.ClientSession, endpoint: str) -> CloudFacts:
    """Ask ARM about its cloud; of one that doesn't say, the public cloud's with ARM's own URL as the audience.

    Args:
        http: the run's session.
        endpoint: ARM's.
    """
    fallback = CloudFacts(audience=endpoint)
    url = f"{endpoint}/metadata/endpoints?api-version={_API_VERSION}"
    try:
        async with asyncio.timeout(_WITHIN_S), http.get(url, allow_redirects=False) as answer:
            if answer.status != 200:
                return fallback
            found = json.loads(await read_bounded(answer))
    except (aiohttp.ClientError, ArmFault, OSError, TimeoutError, ValueError, RecursionError):
        return fallback  # whoever asks ARM next says what is in the way
    return facts_in(found, endpoint) or fallback


def facts_in(found: Any, endpoint: str) -> CloudFacts | None:
    """The facts of the cloud that this ARM belongs to; None if it isn't told as documented.

    Args:
        found: the answer: one cloud, or a list of those that this one knows.
        endpoint: ARM's.
    """
    told = found if isinstance(found, list) else [found]
    mine = [
        entry
        for entry in told
        if isinstance(entry, dict) and _plain(entry.get("resourceManager")) == _plain(endpoint)
    ]
    if len(mine) != 1:
        return None
    (cloud,) = mine
    signing, suffixes = cloud.get("authentication"), cloud.get("suffixes")
    if not isinstance(signing, dict) or not isinstance(suffixes, dict):
        return None
    audiences = [
        audience for audience in signing.get("audiences") or [] if isinstance(audience, str) and audience
    ]
    texts = (cloud.get("portal"), signing.get("loginEndpoint"), suffixes.get("storage"))
    if not audiences or not all(isinstance(text, str) and text for text in texts):
        return None
    own = [audience for audience in audiences if _plain(audience) == _plain(endpoint)]
    portal, login, suffix = map(str, texts)
    if not all(url.startswith("https://") for url in (portal, login)):
        return None
    return CloudFacts(
        portal=portal.rstrip("/"),
        login=login.rstrip("/"),
        audience=endpoint if own else audiences[0],
        storage_suffix=suffix.strip("."),
        dns_suffix=clouds.dns_suffix(endpoint),
    )


def _plain(url: object) -> str:
    return str(url or "").rstrip("/").casefold()


def portal_page(facts: CloudFacts, tenant_id: str, resource_id: str) -> str:
    """The page of a resource in the cloud's portal."""
    return f"{facts.portal}/#@{tenant_id}/resource{resource_id}/overview"
