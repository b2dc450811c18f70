"""The one store of resources, keyed by case-folded id."""

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from azure_sandbox.core.resource import Resource

Json = dict[str, Any]


class Store:
    """Resources by id. ARM ids are case-insensitive; the case of the creation is kept and handed out.

    Args:
        now_s: the clock, for creation times.
    """

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self._by_id: dict[str, Resource] = {}
        self._by_type: dict[str, dict[str, Resource]] = {}
        self._versions: Counter[str] = Counter()

    def __iter__(self) -> Iterator[Resource]:
        return iter(list(self._by_id.values()))

    def __len__(self) -> int:
        return len(self._by_id)

    def clear(self) -> None:
        """Forget everything."""
        self._by_id.clear()
        self._by_type.clear()
        self._versions.clear()

    def get(self, resource_id: str) -> Resource | None:
        """A resource, or None."""
        return self._by_id.get(resource_id.lower())

    def put(self, resource_id: str, full_type: str, body: Json) -> Resource:
        """Store a body under an id, adding `id`, `name` and `type`; a known resource is changed in place."""
        known = self.get(resource_id)
        canonical = known.id if known else self.canonical(resource_id)
        shown = {"id": canonical, "name": canonical.rsplit("/", 1)[-1], "type": full_type}
        content = shown | {name: value for name, value in body.items() if name not in shown}
        if known is None:
            known = Resource(canonical, full_type, content, created_s=self._now_s())
            self._by_id[canonical.lower()] = known
            self._by_type.setdefault(full_type.lower(), {})[canonical.lower()] = known
        else:
            known.previous, known.body = known.body, content
        self.touch(known)
        return known

    def touch(self, resource: Resource) -> None:
        """Give a resource a new etag, which depends on nothing but its own history."""
        key = resource.id.lower()
        self._versions[key] += 1
        digest = hashlib.sha256(f"{key} {self._versions[key]} {resource.etag}".encode()).hexdigest()
        resource.etag = f"{digest[:8]}-0000-0c00-0000-{digest[8:20]}"

    def delete(self, resource_id: str) -> None:
        """Remove one resource; nothing else goes with it."""
        resource = self._by_id.pop(resource_id.lower(), None)
        if resource is not None:
            del self._by_type[resource.type.lower()][resource_id.lower()]

    def under(self, scope_id: str, full_type: str | None = None) -> list[Resource]:
        """The resources strictly below an id, of one type or of all, in order of creation."""
        prefix = scope_id.lower().rstrip("/") + "/"
        among = self._by_id if full_type is None else self._by_type.get(full_type.lower(), {})
        return [resource for key, resource in among.items() if key.startswith(prefix)]

    def of_type(self, full_type: str) -> list[Resource]:
        """All resources of a type."""
        return list(self._by_type.get(full_type.lower(), {}).values())

    def canonical(self, resource_id: str) -> str:
        """An id as ARM hands it out: stored ancestors in their own case, `resourceGroups` spelt so."""
        clean = re.sub(r"/+", "/", "/" + resource_id.strip("/"))
        segments = clean.split("/")
        for index, segment in enumerate(segments):
            lowered = segment.lower()
            if lowered in _SPELLING and (index in (1, 3) or lowered == "providers"):
                segments[index] = _SPELLING[lowered]
        for length in range(len(segments), 2, -1):
            known = self._by_id.get("/".join(segments[:length]).lower())
            if known is not None:
                return "/".join([known.id, *segments[length:]])
        return "/".join(segments)


_SPELLING = {
    "subscriptions": "subscriptions",
    "resourcegroups": "resourceGroups",
    "providers": "providers",
}
