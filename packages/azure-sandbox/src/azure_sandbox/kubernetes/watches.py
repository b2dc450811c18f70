"""`watch`: the changes of a type as a stream of JSON lines.

https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

from azure_sandbox.kubernetes import errors
from azure_sandbox.kubernetes.request import ApiRequest
from azure_sandbox.kubernetes.resources import ResourceType
from azure_sandbox.kubernetes.store import Event, Store
from azure_sandbox.kubernetes.verbs import shown

Json = dict[str, Any]

LONGEST_S = 1800.0
"""Real seconds that a watch without timeoutSeconds lasts; a real server draws 1800 to 3600 s."""
BOOKMARK_S = 60.0
"""Real seconds between bookmarks: about once a minute on a real server."""


class Watch:
    """One open watch; it follows from the moment it is made.

    Raises:
        ApiError: 410 when the history no longer reaches back, 400 or 422 for parameters that make no sense.
    """

    def __init__(
        self, store: Store, type_: ResourceType, request: ApiRequest, selected: Callable[[Json], bool]
    ) -> None:
        self._store = store
        self._type = type_
        self._namespace = request.namespace
        self._selected = selected
        self._bookmarks = request.flag("allowWatchBookmarks")
        self._timeout_s = float(request.number("timeoutSeconds") or LONGEST_S)
        wanted = request.number("resourceVersion") or 0
        self._first: list[Json] = []
        listed = request.flag("sendInitialEvents")
        if listed and request.query.get("resourceVersionMatch") != "NotOlderThan":
            cause = {
                "reason": "FieldValueForbidden",
                "message": "Forbidden: sendInitialEvents requires setting resourceVersionMatch to "
                "NotOlderThan",
                "field": "resourceVersionMatch",
            }
            text = f'ListOptions.meta.k8s.io "" is invalid: resourceVersionMatch: {cause["message"]}'
            raise errors.ApiError(422, "Invalid", text, {"kind": "ListOptions", "causes": [cause]})
        self._start = store.revision
        if listed or not wanted:
            objects = store.all(type_.key, request.namespace or None)
            self._first = [self._line("ADDED", obj) for obj in objects if selected(obj)]
            if listed:
                self._first.append(self._bookmark(initial_end=True))
        else:
            events = store.since(type_.key, wanted)
            if events is None:
                raise errors.expired(wanted, store.oldest_revision)
            self._first = [line for event in events for line in self._lines(event)]
            # Nothing has happened yet at a revision ahead of this server.
            self._start = max(wanted, store.revision)
        self._watcher = store.watch(type_.key)

    async def lines(self) -> AsyncIterator[bytes]:
        """The events, one JSON object a line."""
        ends = time.monotonic() + self._timeout_s
        try:
            for line in self._first:
                yield _encoded(line)
            while (left := ends - time.monotonic()) > 0:
                try:
                    event = await asyncio.wait_for(self._watcher.queue.get(), min(left, BOOKMARK_S))
                except TimeoutError:
                    if self._bookmarks:
                        yield _encoded(self._bookmark())
                    continue
                if event is None:
                    return
                for line in self._lines(event):
                    yield _encoded(line)
        finally:
            self._store.unwatch(self._watcher)

    def close(self) -> None:
        """Stop following, where `lines` was never read."""
        self._store.unwatch(self._watcher)

    def _lines(self, event: Event) -> list[Json]:
        if self._namespace and event.obj["metadata"].get("namespace") != self._namespace:
            return []
        was = event.before is not None and event.change != "ADDED" and self._selected(event.before)
        now = event.change != "DELETED" and self._selected(event.obj)
        if now:
            return [self._line("MODIFIED" if was else "ADDED", event.obj)]
        if not was:
            return []
        # An object that no longer fits the selector looks deleted, in its last state that did.
        last = {**(event.before or event.obj)}
        last["metadata"] = {
            **last["metadata"],
            "resourceVersion": event.obj["metadata"]["resourceVersion"],
        }
        return [self._line("DELETED", last)]

    def _line(self, change: str, obj: Json) -> Json:
        return {"type": change, "object": shown(self._type, obj)}

    def _bookmark(self, initial_end: bool = False) -> Json:
        metadata: Json = {"resourceVersion": str(self._store.revision), "creationTimestamp": None}
        if initial_end:
            metadata["annotations"] = {"k8s.io/initial-events-end": "true"}
        obj = {"kind": self._type.kind, "apiVersion": self._type.api_version, "metadata": metadata}
        return {"type": "BOOKMARK", "object": obj}


def _encoded(line: Json) -> bytes:
    return json.dumps(line, separators=(",", ":")).encode() + b"\n"
