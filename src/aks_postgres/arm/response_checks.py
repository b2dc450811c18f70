"""What is checked of every answer before anything else looks at it: whose host, how much, how long, what shape.

Policies of the one pipeline under every SDK client, so that no listing and no read goes without them. An answer
that isn't what it has to be is no answer: a list is one only if it says so, and what isn't known isn't empty. A
well-formed list that leaves something out can't be told from the truth; docs/tear-down.md says what is asked in a
second way.
"""

from __future__ import annotations

import asyncio
import zlib
from contextlib import suppress
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

import aiohttp
from azure.core.exceptions import StreamConsumedError
from azure.core.pipeline import PipelineRequest, PipelineResponse
from azure.core.pipeline.policies import AsyncHTTPPolicy

from aks_postgres.arm.responses import ArmFault, Json, clean, is_listing, json_of, parsed, unreadable

# ARM's largest answers, the VM sizes of a region, have some 3 MB; nothing that is asked here has ten times that.
LARGEST_BYTES = 32 * 1024 * 1024

_TOO_LARGE = "an answer of more than {} MiB"


class OwnHostPolicy(AsyncHTTPPolicy[Any, Any]):
    """Sends nothing, the access token least of all, to a host that isn't ARM's, such as a page's `nextLink` may name.

    Regional ARM (`canadacentral.management.azure.com`) is below it, and 443 is https's own port.
    """

    def __init__(self, endpoint: str) -> None:
        super().__init__()
        self._own = urlsplit(endpoint)

    async def send(self, request: PipelineRequest[Any]) -> PipelineResponse[Any, Any]:
        """Send it, if it is for ARM.

        Raises:
            ArmFault: it isn't.
        """
        url = request.http_request.url = _without_spaces(str(request.http_request.url))
        if not is_below(url, self._own):
            # Without the query, which may hold what is secret.
            where = clean(url.partition("?")[0])
            text = f"{where}: not ARM's host ({self._own.netloc}), so the access token isn't sent there"
            raise ArmFault(200, "ForeignHost", text)
        return await self.next.send(request)


def _without_spaces(url: str) -> str:
    """The same URL with the spaces of its path escaped: SDK packages put an ID into it as it is.

    Two of the rule groups that Azure recommends have names with spaces. A host with one stays as it is, to be refused.
    """
    scheme, slashes, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    return "".join((scheme, slashes, host, slash, path.replace(" ", "%20")))


def is_below(url: str, own: SplitResult) -> bool:
    """Return whether a URL is https, and for this host or one below it, at the same port."""
    try:
        found = urlsplit(url)
        host, mine = (found.hostname or "").casefold(), (own.hostname or "").casefold()
        same_port = (found.port or 443) == (own.port or 443)
    except ValueError:
        return False
    # What one parser takes for a user's name or a path, another may take for the host.
    before_query = url.partition("?")[0]
    is_plain = found.username is None and before_query.isprintable() and not set("\\ ") & set(before_query)
    return found.scheme == "https" and is_plain and same_port and (host == mine or host.endswith(f".{mine}"))


class TimeLimitPolicy(AsyncHTTPPolicy[Any, Any]):
    """Gives a request up whose whole answer isn't there in time: a body that drips never meets the read time-out.

    Args:
        limit_s: real seconds for sending and for every byte of the answer.
    """

    def __init__(self, limit_s: float) -> None:
        super().__init__()
        self._limit_s = limit_s

    async def send(self, request: PipelineRequest[Any]) -> PipelineResponse[Any, Any]:
        """Send, and read the whole answer.

        Raises:
            ArmFault: not in time.
        """
        try:
            async with asyncio.timeout(self._limit_s):
                response = await self.next.send(request)
                await whole(request, response)
                return response
        except TimeoutError:
            text = f"the answer wasn't complete within {self._limit_s:g} s"
            raise ArmFault(None, "NoAnswerInTime", text) from None


class ShapePolicy(AsyncHTTPPolicy[Any, Any]):
    """Takes an answer for one only if it has the shape that ARM's contract gives it.

    https://github.com/cloud-and-ai-microsoft/resource-provider-contract/blob/master/v1.0/resource-api-reference.md
    """

    async def send(self, request: PipelineRequest[Any]) -> PipelineResponse[Any, Any]:
        """Send, and look at the answer.

        Raises:
            ArmFault: it can't be read as what was asked for.
        """
        response = await self.next.send(request)
        http, method = await whole(request, response), str(request.http_request.method)
        if http.status_code in (200, 201) and method not in ("HEAD", "DELETE"):
            try:
                body = parsed(http)
            except (ValueError, LookupError, RecursionError) as error:
                raise unreadable(f"status {http.status_code} with a body that is no JSON: {error}") from None
            problem = problem_of(method, str(request.http_request.url), body, listing=is_listing())
            if problem:
                raise unreadable(f"status {http.status_code} with {problem}")
        return response


# By one of these ARM and the services behind it sign each of their answers:
# https://github.com/cloud-and-ai-microsoft/resource-provider-contract/blob/master/v1.0/common-api-details.md
_SIGNED = ("x-ms-request-id", "x-ms-correlation-request-id", "x-ms-error-code", "x-ms-failure-cause")


def refuse_somebody_elses(http: Any) -> None:
    """Refuse a page of a proxy's or a gateway's: its 404 doesn't say that nothing is there, nor its 401 who we are.

    What passes by itself (408, 429, 5xx) is left to its status.

    Raises:
        ArmFault: without a status, as it says nothing of Azure.
    """
    status = http.status_code
    if status in (408, 429) or status >= 500:
        return
    if any(name.lower() in _SIGNED for name in http.headers):
        return
    body = json_of(http)
    told = body.get("error", body) if isinstance(body, dict) else None
    if not isinstance(told, dict) or not told.get("code"):
        raise ArmFault(None, "NotAzure", f"status {status} without a word of Azure's")


async def whole(request: PipelineRequest[Any], response: PipelineResponse[Any, Any]) -> Any:
    """The HTTP response with its body, which a `begin_` operation leaves unread."""
    found = response.http_response
    if request.context.options.get("stream"):
        with suppress(StreamConsumedError):  # read before, and empty
            if not await found.read():
                # azure-core takes an empty body for one that wasn't read, and refuses to read it a second time.
                found.read = _nothing
    return found


async def _nothing() -> bytes:
    return b""


# --- size ----------------------------------------------------------------------------------------------------------


class BoundedResponse(aiohttp.ClientResponse):
    """A response whose body is read up to a limit."""

    async def read(self) -> bytes:
        """The whole body.

        Raises:
            ArmFault: it is larger than anything that is asked for, packed or unpacked.
        """
        if self._body is None:
            self._body = await read_bounded(self)
            # azure-core unpacks by itself, without a limit.
            see_size(self._body, self.headers.get("Content-Encoding", ""))
        return await super().read()


async def read_bounded(response: aiohttp.ClientResponse) -> bytes:
    """The body of a response, as far as it isn't too large.

    Raises:
        ArmFault: it is.
    """
    found = bytearray()
    try:
        while chunk := await response.content.readany():
            found += chunk
            if len(found) > LARGEST_BYTES:
                raise _too_large()
    except BaseException:
        response.close()
        raise
    return bytes(found)


def see_size(body: bytes, encoding: str) -> None:
    """Refuse a packed body that can't be unpacked, or to more than is read."""
    if encoding not in ("gzip", "deflate") or not body:
        return
    unpacking = zlib.decompressobj(31 if encoding == "gzip" else -zlib.MAX_WBITS)
    try:
        unpacking.decompress(body, LARGEST_BYTES)
    except zlib.error as error:
        raise unreadable(f"a body that can't be unpacked: {error}") from None
    if unpacking.unconsumed_tail:
        raise _too_large()


def _too_large() -> ArmFault:
    return ArmFault(200, "TooLarge", _TOO_LARGE.format(LARGEST_BYTES // 2**20))


# --- shape -----------------------------------------------------------------------------------------------------------

# By the last part of the URL: what the ID of each entry holds, and which properties it has to have. What isn't here is
# never taken for complete by a step that deletes.
_ENTRIES: dict[str, tuple[str, tuple[str, ...], tuple[str, ...]]] = {
    "resourcegroups": ("/resourcegroups/", ("name",), ()),
    "resources": ("/providers/", ("name", "type"), ()),
    "locks": ("/providers/microsoft.authorization/locks/", (), ()),
    "deletedworkspaces": ("/workspaces/", ("name",), ()),
    "roleassignments": ("/roleassignments/", (), ("roleDefinitionId", "principalId", "scope")),
}
# The one list of ARM's here that has another key.
_KEYS = {"kubernetesversions": "values"}


def problem_of(method: str, url: str, body: Any, *, listing: bool = False) -> str:
    """Return what is wrong with the JSON of a successful answer; empty if nothing is.

    ARM's IDs are pairs of type and name, so a path that ends in a type is a list's, and one that ends in a name a
    resource's; of operations it says nothing.

    Args:
        method: of the request.
        url: of the request.
        body: the answer's JSON; {} where there was no body.
        listing: whether it is known to be a page of a list.
    """
    if not isinstance(body, dict):
        return f"{_kind(body)} where a JSON object has to be"
    if method != "GET":
        return envelope_problem(body)
    parts = [unquote(part) for part in urlsplit(url).path.strip("/").casefold().split("/")]
    if listing or is_list(parts):
        return list_problem(body, parts[-1])
    if any("operation" in part for part in parts[-2:-1]) or not body:
        return ""  # an operation's status, or a body that whoever reads a resource misses
    given = str(body.get("id") or "").strip("/").casefold().split("/")
    if given[-1] != parts[-1] or _scope(given, parts) != _scope(parts, given):
        return "a JSON object whose id isn't that of the resource asked for"
    return envelope_problem(body)


def _scope(parts: list[str], others: list[str]) -> list[str]:
    """Subscription and resource group in the parts of a path, as far as the other one has them too."""
    return [
        parts[parts.index(word) + 1]
        for word in ("subscriptions", "resourcegroups")
        if word in parts[:-1] and word in others[:-1]
    ]


def is_list(parts: list[str]) -> bool:
    """Return whether the parts of a path end in a type: an odd number of them after the last provider."""
    if parts[-1] == "providers" or "providers" not in parts:
        return len(parts) % 2 == 1
    after = parts[len(parts) - parts[::-1].index("providers") + 1 :]
    return len(after) % 2 == 1


def list_problem(body: Json, kind: str) -> str:
    """Return what is wrong with a page of a list of ARM's; empty if nothing is."""
    key = _KEYS.get(kind, "value")
    entries = body.get(key)
    if not isinstance(entries, list):
        return f"{_kind(entries) if key in body else 'nothing'} in `{key}`, where a list has its entries"
    holds, fields, properties = _ENTRIES.get(kind, ("", (), ()))
    for entry in entries:
        if not isinstance(entry, dict):
            return f"a list that holds {_kind(entry)} where a JSON object has to be"
        if holds and holds not in str(entry.get("id") or "").casefold():
            return "a list that holds an entry without an id of its kind"
        if any(not isinstance(entry.get(field), str) or not entry[field] for field in fields):
            return f"a list that holds an entry without {' and '.join(fields)}"
        if problem := envelope_problem(entry, named=bool(holds)):
            return f"a list that holds {problem}"
        if any(not isinstance((entry.get("properties") or {}).get(name), str) for name in properties):
            return f"a list that holds an entry without {' and '.join(properties)}"
    if not isinstance(body.get("nextLink"), str | None):
        return f"a next page that is {_kind(body['nextLink'])}"
    return ""


def envelope_problem(body: Json, *, named: bool = True) -> str:
    """Return what is wrong with the fields that every resource of ARM's may have; empty if nothing is."""
    for field in ("id", "type", "location", "managedBy", *(("name",) if named else ())):
        if not isinstance(body.get(field), str | None):
            return f"a JSON object whose {field} is {_kind(body[field])}"
    for field in ("properties", "tags", "identity"):
        if not isinstance(body.get(field), dict | None):
            return f"a JSON object whose {field} is {_kind(body[field])}"
    if not all(isinstance(value, str | None) for value in (body.get("tags") or {}).values()):
        return "a JSON object with a tag that is no text"
    if not isinstance((body.get("properties") or {}).get("provisioningState"), str | None):
        return "a JSON object whose provisioningState is no text"
    return ""


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    names = {bool: "true or false", int: "a number", float: "a number", str: "a text", list: "an array"}
    return names.get(type(value), "an object")
