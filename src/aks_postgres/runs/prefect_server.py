"""The Prefect server that records runs: which one it is, and whether it answers."""

from __future__ import annotations

import http.client
import json
import os
import ssl
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

from aks_postgres.exit_codes import CommandFailed, ExitCode

if TYPE_CHECKING:
    from uuid import UUID

# A server answers within milliseconds; one across the world within a second.
_ANSWER_S = 5.0
_HEALTH_BYTES = 100

_DEFAULTS = {
    # The view shows every step; Prefect's log of the same run goes to its server and not into the view.
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
}


def prepare_prefect() -> None:
    """Set what a run from the terminal needs, unless the person did; call it before Prefect is imported."""
    for name, value in _DEFAULTS.items():
        os.environ.setdefault(name, value)


def require_prefect_server() -> str | None:
    """Make sure that the configured server answers.

    Returns:
        Its API's URL; None when none is configured.

    Raises:
        CommandFailed: it doesn't answer; says which and where that is set.
    """
    from prefect.settings import get_current_settings

    api = get_current_settings().api
    url = api.url
    if url is None:
        return None
    try:
        tls = _tls(api.ssl_cert_file, api.tls_insecure_skip_verify)
        with urllib.request.urlopen(f"{url.rstrip('/')}/health", timeout=_ANSWER_S, context=tls) as answer:
            says = answer.read(_HEALTH_BYTES)
    except urllib.error.HTTPError:
        # It answers; what it thinks of us is for Prefect's client to say.
        return url
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        if isinstance(reason, ssl.SSLCertVerificationError):
            raise CommandFailed(
                f"the Prefect server at {url} has a certificate that isn't trusted here: {reason.verify_message}. Set "
                "PREFECT_API_SSL_CERT_FILE to the file of the authority that it is from.",
                ExitCode.NOT_RUNNING,
            ) from None
        raise CommandFailed(
            f"the Prefect server at {url} can't be reached: {reason}. Start it with "
            "`prefect server start`, or set PREFECT_API_URL to the one that runs (unset, a temporary one "
            "is used).",
            ExitCode.NOT_RUNNING,
        ) from None
    if says.lstrip()[:1] == b"<":
        # The UI answers everything that it doesn't know with its page.
        raise CommandFailed(
            f"{url} is no Prefect API: it answers with a page. Set PREFECT_API_URL to the server's address with /api "
            "at its end, such as http://127.0.0.1:4200/api.",
            ExitCode.BAD_INPUT,
        )
    return url


def _tls(authority: str | None, unverified: bool) -> ssl.SSLContext:
    """Return what Prefect's own client trusts."""
    context = ssl.create_default_context(cafile=authority)
    if unverified:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


async def summary_of(flow_run_id: UUID) -> str | None:
    """The Markdown that a run left as its artifact."""
    from prefect import get_client
    from prefect.client.schemas.filters import (
        ArtifactFilter,
        ArtifactFilterFlowRunId,
        ArtifactFilterType,
    )

    wanted = ArtifactFilter(
        flow_run_id=ArtifactFilterFlowRunId(any_=[flow_run_id]), type=ArtifactFilterType(any_=["markdown"])
    )
    async with get_client() as client:
        found = await client.read_artifacts(artifact_filter=wanted)
    # A picture is nothing for a terminal.
    texts = [artifact for artifact in found if not str(artifact.key).startswith("timeline-")]
    lines = str(texts[-1].data).splitlines() if texts else []
    return "\n".join(line for line in lines if not line.startswith("![")) or None


def pages_of(flow_run_id: UUID) -> dict[str, str]:
    """Return where a person looks in the UI; empty when there is no server that stays."""
    from prefect.settings import get_current_settings

    settings = get_current_settings()
    if settings.api.url is None or not settings.ui_url:
        return {}
    served = _current_ui(settings.ui_url)
    if served is None:
        return {}
    base = settings.ui_url.rstrip("/") + served
    return {
        "Run and its graph": f"{base}/runs/flow-run/{flow_run_id}",
        "Artifacts": f"{base}/artifacts",
    }


def _current_ui(url: str) -> str | None:
    """The path of the UI that the server prefers: Prefect 3 brings two. None when it serves none."""
    try:
        with urllib.request.urlopen(f"{url.rstrip('/')}/ui-settings", timeout=_ANSWER_S) as answer:
            found = json.load(answer)
        base: str | None = found[f"{found['default_ui']}_base_url"]
    except urllib.error.HTTPError:
        return ""  # A server that doesn't know the question, such as Prefect Cloud's UI.
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return None if base is None else base.rstrip("/")
