"""Where a cluster's objects are: revisions, the history that watches read, and everybody who follows changes.

Objects handed out are the stored ones: copy before changing. Every write replaces the object, so a reader's
copy stays what it was.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

Json = dict[str, Any]
Change = Literal["ADDED", "MODIFIED", "DELETED"]

HISTORY = 4096
"""Changes remembered for watches; a watch that starts before them is answered 410, as etcd's compaction
causes."""


@dataclass(frozen=True)
class Event:
    """One change of one object; `before` is None for a new one."""

    revision: int
    change: Change
    key: str
    obj: Json
    before: Json | None


class Watcher:
    """A queue of the changes of one type, from the moment of its creation."""

    def __init__(self, key: str) -> None:
        self.key = key
        self.queue: asyncio.Queue[Event | None] = asyncio.Queue()


class Store:
    """All objects of one cluster, by type key (`deployments.apps`), namespace and name."""

    def __init__(self) -> None:
        self._objects: dict[str, dict[tuple[str, str], Json]] = {}
        self._history: deque[Event] = deque(maxlen=HISTORY)
        self._watchers: set[Watcher] = set()
        self._listeners: list[Callable[[Event], None]] = []
        self.revision = 1

    def dump(self) -> Json:
        """Everything in the store, as JSON."""
        return {"revision": self.revision, "objects": [list(item) for item in self.everything()]}

    def load(self, dumped: Json) -> None:
        """Hold what was dumped; nobody is told, as nothing has changed."""
        self.revision = dumped["revision"]
        for key, obj in dumped["objects"]:
            self._objects.setdefault(key, {})[_at(obj)] = obj

    def get(self, key: str, namespace: str, name: str) -> Json | None:
        """One object, or None; the namespace of a cluster-wide one is the empty text."""
        return self._objects.get(key, {}).get((namespace, name))

    def all(self, key: str, namespace: str | None = None) -> list[Json]:
        """Every object of a type, by namespace and name; of one namespace, if one is given."""
        found = self._objects.get(key, {})
        return [found[at] for at in sorted(found) if namespace is None or at[0] == namespace]

    def keys(self) -> list[str]:
        """Types that have objects."""
        return [key for key, found in self._objects.items() if found]

    def everything(self) -> Iterator[tuple[str, Json]]:
        """Every object with its type key."""
        for key, found in list(self._objects.items()):
            for obj in list(found.values()):
                yield key, obj

    def put(self, key: str, obj: Json) -> Json:
        """Store an object under the next revision, which becomes its resourceVersion."""
        at = _at(obj)
        before = self._objects.get(key, {}).get(at)
        self.revision += 1
        stored = {**obj, "metadata": {**obj["metadata"], "resourceVersion": str(self.revision)}}
        self._objects.setdefault(key, {})[at] = stored
        self._tell(Event(self.revision, "ADDED" if before is None else "MODIFIED", key, stored, before))
        return stored

    def remove(self, key: str, namespace: str, name: str) -> Json | None:
        """Take an object out; what is returned carries the revision of its end."""
        before = self._objects.get(key, {}).pop((namespace, name), None)
        if before is None:
            return None
        self.revision += 1
        last = {**before, "metadata": {**before["metadata"], "resourceVersion": str(self.revision)}}
        self._tell(Event(self.revision, "DELETED", key, last, before))
        return last

    def since(self, key: str, revision: int) -> list[Event] | None:
        """The changes of a type after a revision; None when they are no longer known."""
        if self._history and len(self._history) == HISTORY and revision < self._history[0].revision - 1:
            return None
        return [event for event in self._history if event.key == key and event.revision > revision]

    @property
    def oldest_revision(self) -> int:
        """The first revision a watch can start from."""
        return self._history[0].revision if self._history else self.revision

    def watch(self, key: str) -> Watcher:
        """Follow a type; end it with `unwatch`."""
        watcher = Watcher(key)
        self._watchers.add(watcher)
        return watcher

    def unwatch(self, watcher: Watcher) -> None:
        """Follow no longer."""
        self._watchers.discard(watcher)

    def end_watches(self, key: str | None = None) -> None:
        """End the open watches of a type, or all."""
        for watcher in list(self._watchers):
            if key is None or watcher.key == key:
                watcher.queue.put_nowait(None)

    def listen(self, listener: Callable[[Event], None]) -> None:
        """Call a function after every change; it must not write, only note what to do on the clock."""
        self._listeners.append(listener)

    def _tell(self, event: Event) -> None:
        self._history.append(event)
        for watcher in list(self._watchers):
            if watcher.key == event.key:
                watcher.queue.put_nowait(event)
        for listener in self._listeners:
            listener(event)


def _at(obj: Json) -> tuple[str, str]:
    metadata = obj["metadata"]
    return metadata.get("namespace", ""), metadata["name"]
