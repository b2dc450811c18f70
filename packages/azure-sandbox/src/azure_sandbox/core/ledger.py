"""The ledger: an entry for each request, without secrets, in memory and as JSON lines in the state folder."""

import json
import os
import re
from pathlib import Path
from typing import Any, TextIO

from azure_sandbox.core.clock import Clock

Json = dict[str, Any]

SECRET = re.compile(
    r"secret|password|assertion|token|credential|sharedkey|accountkey|privatekey|^key[12]?$|kubeconfig|pfx",
    re.I,
)
PUBLIC = {"oidctokenissuer", "issuertokenurl", "federatedidentitycredentials", "tokentype", "token_type"}


def redacted(value: Any, name: str = "") -> Any:
    """A copy of a JSON value whose secrets are `***`."""
    if isinstance(value, dict):
        return {key: redacted(item, str(key)) for key, item in value.items()}
    if isinstance(value, list):
        return [redacted(item, name) for item in value]
    if isinstance(value, str) and name.lower() not in PUBLIC and SECRET.search(name):
        return "***"
    return value


class Ledger:
    """Entries in order of arrival.

    Args:
        clock: the sandbox's clock.
        file: where the entries are appended as JSON lines; None keeps them in memory only.
    """

    def __init__(self, clock: Clock, file: Path | None = None) -> None:
        self._clock = clock
        self._file = file
        self._stream: TextIO | None = None
        self.entries: list[Json] = []

    def reset(self) -> None:
        """Forget all entries and empty the file."""
        self.entries.clear()
        self.close()
        if self._file is not None:
            descriptor = os.open(self._file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            self._stream = os.fdopen(descriptor, "w", buffering=1)

    def close(self) -> None:
        """Close the file."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def arrived(self, service: str, method: str, path: str, **more: Any) -> Json:
        """Begin an entry for a request that has just come in.

        Args:
            service: arm, entra, graph, blob or kubernetes.
            method: HTTP method.
            path: without the query.
            more: `api_version`, `body`, `cluster`, ...; the body is redacted here.
        """
        now_s = self._clock.now_s()
        entry: Json = {
            "n": len(self.entries) + 1,
            "at": self._clock.iso(now_s),
            "at_s": round(now_s, 3),
            "real_s": round(self._clock.real_s(), 4),
            "service": service,
            "principal": None,
            "method": method,
            "path": path,
            "api_version": None,
            "operation": None,
            "body": None,
            "status": None,
            "error_code": None,
            "duration_ms": None,
            "client_request_id": None,
            "correlation_id": None,
        }
        entry.update(more)
        entry["body"] = redacted(entry["body"])
        self.entries.append(entry)
        return entry

    def answered(self, entry: Json, status: int | None, error_code: str | None = None) -> None:
        """Complete an entry; a status of None means that the connection was cut."""
        entry["status"] = status
        entry["error_code"] = error_code
        entry["duration_ms"] = round((self._clock.real_s() - entry["real_s"]) * 1000, 2)
        if self._stream is not None:
            self._stream.write(json.dumps(entry, separators=(",", ":")) + "\n")
