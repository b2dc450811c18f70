"""The last run of each environment, as the Prefect server has it: one request, without Prefect's own import.

REST: https://docs.prefect.io/v3/api-ref/rest-api/server/flow-runs/read-flow-runs
"""

from __future__ import annotations

import base64
import json
import os
import ssl
import urllib.request
from collections.abc import Mapping
from typing import Any

from aks_postgres.reports.listing import FoundEnvironment, LastRun
from aks_postgres.spec.names import PRODUCT

_ANSWER_S = 2.0
# A page of Prefect's; an environment whose last run is further back has none here.
_NEWEST = 200


def with_last_runs(found: tuple[FoundEnvironment, ...]) -> tuple[FoundEnvironment, ...]:
    """The same environments, each with its last run; without one where no server is set, or none answers."""
    url = os.environ.get("PREFECT_API_URL")
    if not url or not found:
        return found
    try:
        runs = _newest(url.rstrip("/"))
    except (OSError, ValueError):  # it is about Azure; a server that is away stops nobody
        return found
    return tuple(environment.model_copy(update={"last_run": _of(environment, runs)}) for environment in found)


def _newest(url: str) -> list[Mapping[str, Any]]:
    body = {
        "flow_runs": {"tags": {"all_": [PRODUCT]}, "start_time": {"is_null_": False}},
        "sort": "START_TIME_DESC",
        "limit": _NEWEST,
    }
    request = urllib.request.Request(
        f"{url}/flow_runs/filter",
        data=json.dumps(body).encode(),
        headers={"content-type": "application/json", **_credential()},
    )
    tls = ssl.create_default_context(cafile=os.environ.get("PREFECT_API_SSL_CERT_FILE"))
    with urllib.request.urlopen(request, timeout=_ANSWER_S, context=tls) as answer:
        runs = json.load(answer)
    return [run for run in runs if isinstance(run, dict)] if isinstance(runs, list) else []


def _credential() -> dict[str, str]:
    if user := os.environ.get("PREFECT_API_AUTH_STRING"):
        return {"authorization": f"Basic {base64.b64encode(user.encode()).decode()}"}
    key = os.environ.get("PREFECT_API_KEY")
    return {"authorization": f"Bearer {key}"} if key else {}


def _of(environment: FoundEnvironment, runs: list[Mapping[str, Any]]) -> LastRun | None:
    for run in runs:
        tags = run.get("tags") or []
        if environment.name in tags and environment.region in tags:
            return LastRun(
                name=str(run.get("name")),
                state=str(run.get("state_name") or ""),
                started=run.get("start_time"),
                id=str(run.get("id")),
            )
    return None
