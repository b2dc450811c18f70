"""`--record`: every exchange with Azure and with the clusters' API servers, redacted, as JSON lines in a folder.

The folder is for whoever maintains this product: it says how Azure answers, and nothing about whose it is
(`arm.redaction`). Requests to Microsoft Entra ID, which hold secrets and tokens, are never recorded.
"""

from __future__ import annotations

import functools
import json
import os
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from azure.core.pipeline import PipelineRequest, PipelineResponse
from azure.core.pipeline.policies import AsyncHTTPPolicy

from aks_postgres.arm.errors import WrongSetting
from aks_postgres.arm.redaction import Redaction
from aks_postgres.arm.response_checks import whole
from aks_postgres.arm.responses import Json, json_of
from aks_postgres.files.given_files import disk_problem
from aks_postgres.files.own_folder import make_own_folder
from aks_postgres.version import product_version

FOLDER_VARIABLE = "AKS_POSTGRES_RECORD"
# Such as a whole custom resource definition.
_LARGEST_BYTES = 512 * 1024


class Recording:
    """One process's file in the folder; mode 0600, as its folder is 0700."""

    def __init__(self, folder: Path, endpoint: str) -> None:
        self._redaction = Redaction(endpoint)
        self._began_s = time.monotonic()
        self._count = 0
        try:
            make_own_folder(folder)
            self.file = folder / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{os.getpid()}.jsonl"
            self._descriptor = os.open(self.file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        except OSError as error:
            problem = disk_problem(error)
            raise WrongSetting(
                f"--record {folder}: {problem.text if problem else error.strerror}.",
                way_out="Give a folder that can be written to; then run again.",
            ) from None
        self._write(
            {"recorded_by": f"aks-postgres {product_version()}", "at": f"{datetime.now(UTC):%Y-%m-%d}"}
        )

    def run(self, command: str, spec: Json, own_words: Iterable[str] = ()) -> None:
        """Keep what was run, so that it can be run again on a sandbox.

        Args:
            command: such as provision; empty where a sandbox can't repeat it.
            spec: what may be kept of its spec (`reports.recordings.repeatable`).
            own_words: what of its spec no message may keep (`reports.recordings.own_words`).
        """
        self._redaction.learn(own_words)
        self._write({"run": command, "spec": spec})

    def arm(
        self, request: Any, began_s: float, response: Any | None, failure: BaseException | None = None
    ) -> None:
        """Keep an exchange with ARM.

        Args:
            request: azure-core's.
            began_s: when it was sent (`time.monotonic`).
            response: azure-core's; None if none came.
            failure: why.
        """
        parts = urlsplit(str(request.url))
        # Its names stay in no message about it.
        self._redaction.path(parts.path)
        answer: Json = {}
        if response is not None:
            headers = self._redaction.headers(dict(response.headers))
            answer = {
                "status": response.status_code,
                "headers": headers,
                "body": self._body(json_of(response)),
            }
        self._keep("arm", request.method, parts.path, parts.query, began_s, _sent(request), answer, failure)

    def kubernetes(
        self, method: str, url: str, began_s: float, body: Any, status: int, headers: Any, found: Any
    ) -> None:
        """Keep an exchange with a cluster's API server."""
        parts = urlsplit(url)
        self._redaction.path(parts.path)
        answer = {
            "status": status,
            "headers": self._redaction.headers(dict(headers)),
            "body": self._body(found),
        }
        self._keep("kubernetes", method, parts.path, parts.query, began_s, body, answer, None)

    def _keep(
        self,
        service: str,
        method: str,
        path: str,
        query: str,
        began_s: float,
        sent: Any,
        answer: Json,
        failure: BaseException | None,
    ) -> None:
        self._count += 1
        entry = {
            "n": self._count,
            "at_s": round(began_s - self._began_s, 3),
            "took_s": round(time.monotonic() - began_s, 3),
            "service": service,
            "method": method,
            "path": self._redaction.path(path) + self._redaction.query(query),
            "sent": self._body(sent),
            **answer,
        }
        if failure is not None:
            entry["no_answer"] = type(failure).__name__
        self._write(entry)

    def _body(self, body: Any) -> Any:
        if not body:
            return body if body in ({}, []) else None
        redacted = self._redaction.body(body)
        text = json.dumps(redacted)
        return redacted if len(text) <= _LARGEST_BYTES else f"({len(text)} characters)"

    def _write(self, entry: Json) -> None:
        os.write(
            self._descriptor, json.dumps(entry).encode() + b"\n"
        )  # whole lines, also of a process that is killed


def _sent(request: Any) -> Any:
    content = (
        getattr(request, "content", None) or getattr(request, "body", None) or getattr(request, "data", None)
    )
    try:
        return json.loads(content) if isinstance(content, str | bytes) else None
    except (ValueError, RecursionError):
        return None


class RecordPolicy(AsyncHTTPPolicy[Any, Any]):
    """Keeps every attempt, whatever comes of it."""

    def __init__(self, recording: Recording) -> None:
        super().__init__()
        self._recording = recording

    async def send(self, request: PipelineRequest[Any]) -> PipelineResponse[Any, Any]:
        """Send, and keep the exchange."""
        began_s = time.monotonic()
        try:
            response = await self.next.send(request)
            http = await whole(request, response)
        except Exception as failure:
            self._recording.arm(request.http_request, began_s, None, failure)
            raise
        self._recording.arm(request.http_request, began_s, http)
        return response


def recording_to(endpoint: str) -> Recording | None:
    """This process's recording, if one was asked for; the runs of a process share it."""
    folder = os.environ.get(FOLDER_VARIABLE)
    return _opened(folder, endpoint, os.getpid()) if folder else None


@functools.cache
def _opened(folder: str, endpoint: str, _process: int) -> Recording:
    return Recording(Path(folder), endpoint)
