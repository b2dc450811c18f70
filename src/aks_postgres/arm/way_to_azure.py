"""What is in the way between this machine and Azure, told from the error itself: a proxy, a certificate."""

from __future__ import annotations

import os
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp

from aks_postgres.arm.errors import WrongSetting
from aks_postgres.arm.responses import ArmFault, clean


def refuse_unusable_proxy(*urls: str) -> None:
    """Refuse a proxy that requests to these URLs would go through and can't.

    Raises:
        WrongSetting: names the variable, and what it has to look like.
    """
    given = getproxies().get("https")
    if not given or all(proxy_bypass(urlsplit(url).hostname or "") for url in urls):
        return
    variable = "https_proxy" if os.environ.get("https_proxy") else "HTTPS_PROXY"
    shown, reason = _without_secret(given), ""
    try:
        parts = urlsplit(given)
        scheme, host, _ = parts.scheme, parts.hostname, parts.port
    except ValueError as error:
        scheme, host, reason = "", None, f" ({error})"
    if scheme == "http" and host:
        return
    raise WrongSetting(
        f"environment variable {variable}: {shown} was given{reason}; the URL of an HTTP proxy is expected, such as "
        "http://proxy.example:3128.",
        way_out=f"Set it with http:// in front, or unset it, or name Azure's hosts in {_no(variable)}; then run again.",
    )


def proxy_for(url: str) -> str | None:
    """The proxy that requests to a URL go through, without its password; None where they go straight."""
    given = getproxies().get("https")
    return _without_secret(given) if given and not proxy_bypass(urlsplit(url).hostname or "") else None


def fault_on_the_way(error: BaseException | None) -> ArmFault | None:
    """The fault for what stands between us and Azure and won't go away by itself; None for anything else."""
    if isinstance(error, aiohttp.ClientHttpProxyError):
        message = f"the proxy answered {error.status} {error.message}"
        return ArmFault(error.status, "ProxyRefused", clean(message), reached=False)
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return ArmFault(None, "CertificateNotTrusted", clean(str(error)), reached=False)
    return None


def _without_secret(proxy: str) -> str:
    before, at, host = proxy.rpartition("@")
    return clean(
        f"{before.partition('//')[0]}//...@{host}"
        if at and "//" in before
        else f"...@{host}"
        if at
        else proxy
    )


def _no(variable: str) -> str:
    return "no_proxy" if variable.islower() else "NO_PROXY"
