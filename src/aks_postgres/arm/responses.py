"""What Azure answered, as JSON in ARM's own words, whichever SDK package asked.

The SDKs' operations build and send every request; their models stay out of the way: bodies go out as JSON
bytes and come back through the `cls` and `polling` hooks that every operation has, so that comparing, merging
and sending back a whole resource loses nothing that a model doesn't know.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from azure.core.exceptions import DecodeError, HttpResponseError
from azure.core.polling import AsyncPollingMethod

from aks_postgres import foreign_text

Json = dict[str, Any]

# ARM's pages hold a hundred entries or more, and a subscription 980 resource groups and 4,000 role assignments.
MOST_PAGES = 200

_is_listing: ContextVar[bool] = ContextVar("is_listing", default=False)
_MAX_TEXT = 600
# Azure's own are at most some minutes; no broken header may stop a run for days.
_LONGEST_RETRY_AFTER_S = 3600.0


@dataclass(frozen=True)
class Answer:
    """A successful answer of ARM's."""

    status: int
    body: Json
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def operation_url(self) -> str | None:
        """Where the status of the operation that this write started can be read, if Azure says so."""
        return self.headers.get("azure-asyncoperation")


def answer_of(response: Any) -> Answer:
    """Read an azure-core HTTP response of either generation.

    Raises:
        ArmFault: the body is no JSON, such as a proxy's page; as good as no answer.
    """
    try:
        body = parsed(response)
    except (ValueError, LookupError, RecursionError) as error:
        message = f"status {response.status_code} with a body that is no JSON: {error}"
        raise ArmFault(None, "UnreadableAnswer", clean(message)) from None
    headers = {key.lower(): value for key, value in response.headers.items()}
    return Answer(response.status_code, body if isinstance(body, dict) else {"value": body}, headers)


def json_of(response: Any) -> Any:
    """The JSON in a response, or {} where there is none."""
    try:
        return parsed(response)
    except (ValueError, LookupError, RecursionError):  # no text, no JSON, or JSON nested without end
        return {}


def parsed(response: Any) -> Any:
    """The JSON in a response; {} where there is no text.

    Raises:
        ValueError, LookupError, RecursionError: it is no JSON, in no known encoding, or nested without end.
    """
    text = response.text() if callable(getattr(response, "text", None)) else response.body().decode()
    text = text.removeprefix("\ufeff")  # which some services send, and a charset in the header keeps
    return json.loads(text, parse_constant=no_number) if text else {}


def no_number(name: str) -> None:
    """Refuse NaN and Infinity, which are no JSON, and the former no number that anything could be equal to.

    Raises:
        ValueError: always.
    """
    raise ValueError(f"{name} is no number")


def as_answer(pipeline_response: Any, _deserialized: Any, _headers: Any) -> Answer:
    """For an operation's `cls` argument."""
    return answer_of(pipeline_response.http_response)


class FirstAnswer(AsyncPollingMethod[Answer]):
    """For a `begin_` operation's `polling` argument: send the request, hand over the answer, don't poll."""

    def initialize(
        self, client: Any, initial_response: Any, deserialization_callback: Callable[[Any], Answer]
    ) -> None:
        """Keep the answer (called by the SDK's poller)."""
        self._answer = answer_of(initial_response.http_response)

    async def run(self) -> None:
        """Nothing to poll."""

    def status(self) -> str:
        """Return what the SDK's poller shows."""
        return "Succeeded"

    def finished(self) -> bool:
        """Return whether the SDK's poller would go on."""
        return True

    def resource(self) -> Answer:
        """The answer to the request itself."""
        return self._answer


@dataclass(eq=False)
class ArmFault(Exception):
    """An answer of Azure's that isn't a success, or none at all (`status` is None).

    `reached` says whether the request may have been acted on although no answer came; `of_aks_operation` that it is
    how an operation on a cluster or a node pool ended, rather than an answer to a request.
    """

    status: int | None
    code: str
    message: str
    correlation_id: str = ""
    retry_after_s: float | None = None
    reached: bool = True
    details: str = ""
    of_aks_operation: bool = False

    def __str__(self) -> str:
        text = f"{self.code}: {self.message}" + (f" ({self.details})" if self.details else "")
        status = f"HTTP {self.status} " if self.status else ""
        trace = f" [correlation ID {self.correlation_id}]" if self.correlation_id else ""
        return f"{status}{text}{trace}"

    @classmethod
    def of(cls, error: HttpResponseError) -> ArmFault:
        """Read Azure's error; its body has an `error` wrapper (ARM) or none (AKS)."""
        response: Any = error.response
        if response is None:
            return cls(None, type(error).__name__, clean(str(error)))
        if isinstance(error, DecodeError) and response.status_code < 400:
            # A success that can't be read, as from a proxy: as good as no answer.
            return cls(None, "UnreadableAnswer", clean(str(error)))
        headers = {key.lower(): value for key, value in response.headers.items()}
        return cls.of_body(
            json_of(response),
            status=response.status_code,
            correlation_id=headers.get("x-ms-correlation-request-id", ""),
            retry_after_s=retry_after_of(headers),
            fallback=clean(headers.get("x-ms-error-code", "")) or f"HTTP{response.status_code}",
        )

    @classmethod
    def of_body(
        cls,
        body: Any,
        *,
        status: int | None,
        correlation_id: str = "",
        retry_after_s: float | None = None,
        fallback: str = "Unknown",
    ) -> ArmFault:
        """Read an error document, wrapped or bare; anything else becomes `fallback` without a message."""
        found = body.get("error", body) if isinstance(body, dict) else {}
        found = found if isinstance(found, dict) else {}
        listed = found.get("details")
        details = [
            clean(": ".join(str(detail[key]) for key in ("code", "message") if detail.get(key)))
            for detail in (listed if isinstance(listed, list) else [])
            if isinstance(detail, dict)
        ]
        return cls(
            status,
            clean(str(found.get("code") or fallback)) or fallback,
            clean(str(found.get("message") or "")) or "no message",
            clean(correlation_id),
            retry_after_s,
            details="; ".join(filter(None, details))[:_MAX_TEXT],
        )


def unreadable(message: str) -> ArmFault:
    """An answer that is as good as none."""
    return ArmFault(None, "UnreadableAnswer", clean(message))


class Turned:
    """The links from page to page of one list: each once, and not without end."""

    def __init__(self) -> None:
        self._links: set[str] = set()

    def to(self, link: str) -> None:
        """Go on to the next page.

        Raises:
            ArmFault: the link came before, or there are more pages than any list has.
        """
        if link in self._links:
            raise ArmFault(200, "EndlessList", "a page names a next page that was read before")
        self._links.add(link)
        if len(self._links) >= MOST_PAGES:
            raise ArmFault(200, "EndlessList", f"it has more than {MOST_PAGES} pages")


@contextmanager
def listing() -> Iterator[None]:
    """Every answer inside is a page of a list, whatever its URL looks like (`arm.response_checks`)."""
    token = _is_listing.set(True)
    try:
        yield
    finally:
        _is_listing.reset(token)


def is_listing() -> bool:
    """Return whether the answer that comes now is a page of a list."""
    return _is_listing.get()


async def wire_items(items: Any) -> list[Json]:
    """The elements of all pages of an SDK's list operation (`AsyncItemPaged`) as ARM sent them.

    Raises:
        ArmFault: there is no end of pages, or a page isn't there that another one names.
    """
    found: list[Json] = []
    turned, pages = Turned(), items.by_page()
    with listing():
        try:
            async for page in pages:
                found += [
                    item.as_dict() if isinstance(item, MutableMapping) else item.serialize(keep_readonly=True)  # type: ignore[attr-defined]
                    async for item in page
                ]
                if pages.continuation_token:
                    turned.to(str(pages.continuation_token))
        except HttpResponseError as error:
            # Of a first page it may mean that there is nothing to list.
            if error.status_code == 404 and pages.continuation_token:
                raise unreadable("status 404 for the next page of a list") from error
            raise
    return found


def retry_after_of(headers: dict[str, str]) -> float | None:
    """Real seconds that the answer asks to wait; None if it doesn't say, or says it as a date."""
    for name, unit_s in (("retry-after-ms", 0.001), ("x-ms-retry-after-ms", 0.001), ("retry-after", 1.0)):
        given = headers.get(name, "").strip()
        if re.fullmatch(r"[0-9]+(\.[0-9]+)?", given):
            return min(float(given) * unit_s, _LONGEST_RETRY_AFTER_S)
    return None


def clean(text: str) -> str:
    """Foreign text on one line, cut, and without anything that looks like a token or key."""
    return foreign_text.clean(text)
