"""What ARM answers: `Response`, or an error raised as `ArmError`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]


class ArmError(Exception):
    """An error answer.

    Args:
        status: HTTP status.
        code: ARM's error code.
        message: the text, as Azure writes it.
        target: `error.target`.
        details: `error.details`.
        bare: AKS's form, without the `error` wrapper: `{"code", "details", "message", "subcode"}`.
        retry_after_s: sandbox seconds for a Retry-After header.
        headers: further headers.
        additional_info: `error.additionalInfo`.
        latency_s: sandbox seconds that pass before the answer.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        target: str | None = None,
        details: list[Json] | None = None,
        bare: bool = False,
        subcode: str = "",
        retry_after_s: float | None = None,
        headers: Mapping[str, str] | None = None,
        additional_info: list[Json] | None = None,
        latency_s: float = 0.0,
    ) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.target = target
        self.details = details
        self.bare = bare
        self.subcode = subcode
        self.retry_after_s = retry_after_s
        self.headers = dict(headers or {})
        self.additional_info = additional_info
        self.latency_s = latency_s

    def error(self) -> Json:
        """The error object, as it also appears in the document of a failed operation."""
        error: Json = {"code": self.code, "message": self.message}
        if self.target is not None:
            error["target"] = self.target
        if self.details is not None:
            error["details"] = self.details
        if self.additional_info is not None:
            error["additionalInfo"] = self.additional_info
        return error

    def body(self) -> Json:
        """The whole answer."""
        if self.bare:
            return {
                "code": self.code,
                "details": self.details,
                "message": self.message,
                "subcode": self.subcode,
                **({"target": self.target} if self.target is not None else {}),
            }
        return {"error": self.error()}


@dataclass
class Response:
    """An answer.

    Args:
        status: HTTP status.
        body: JSON, a `Resource` (shown through its type's view), bytes, or None for an empty answer.
        headers: headers beyond those of every answer.
        retry_after_s: sandbox seconds for Retry-After (below a real second: `x-ms-retry-after-ms`).
        latency_s: sandbox seconds between the effect and the answer.
    """

    status: int
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    retry_after_s: float | None = None
    latency_s: float = 0.0
