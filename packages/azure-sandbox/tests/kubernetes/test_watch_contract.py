"""Watches: the emulator and a real API server alike."""

import asyncio
import json
from typing import Any

from .conftest import MERGE, Cluster

Json = dict[str, Any]


class Watching:
    """An open watch, read line by line."""

    def __init__(self, cluster: Cluster, path: str, **query: str) -> None:
        self._request = cluster.session.get(
            cluster.url + path,
            params={"watch": "true", "timeoutSeconds": "30", **query},
            headers={"Authorization": f"Bearer {cluster.token}"},
        )

    async def __aenter__(self) -> "Watching":
        self._answer = await self._request.__aenter__()
        self.status = self._answer.status
        return self

    async def __aexit__(self, *error: object) -> None:
        self._answer.close()

    async def next(self) -> tuple[str, Json]:
        line = await asyncio.wait_for(self._answer.content.readline(), 10)
        event = json.loads(line)
        return event["type"], event["object"]

    async def names(self, count: int) -> list[tuple[str, str]]:
        found = [await self.next() for _ in range(count)]
        return [(kind, obj["metadata"]["name"]) for kind, obj in found]

    async def rest(self) -> bytes:
        return await asyncio.wait_for(self._answer.content.read(), 10)


async def make(cluster: Cluster, namespace: str, name: str, **labels: str) -> Json:
    body = {"metadata": {"name": name, "labels": labels}}
    made: Json = await cluster.done("POST", f"/api/v1/namespaces/{namespace}/secrets", body)
    return made


async def test_watch_from_a_list_sees_every_change(cluster: Cluster, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/secrets"
    await make(cluster, namespace, "before")
    version = (await cluster.done("GET", path))["metadata"]["resourceVersion"]
    async with Watching(cluster, path, resourceVersion=version) as watch:
        await make(cluster, namespace, "a")
        await cluster.done("PATCH", f"{path}/a", {"metadata": {"labels": {"x": "y"}}}, MERGE)
        await cluster.done("DELETE", f"{path}/a")
        assert await watch.names(3) == [("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "a")]


async def test_watch_catches_up_with_changes_since_its_version(cluster: Cluster, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/secrets"
    first = await make(cluster, namespace, "a")
    await make(cluster, namespace, "b")
    async with Watching(cluster, path, resourceVersion=first["metadata"]["resourceVersion"]) as watch:
        kind, obj = await watch.next()
    assert (kind, obj["metadata"]["name"], obj["kind"]) == ("ADDED", "b", "Secret")


async def test_watch_without_a_version_starts_with_what_there_is(cluster: Cluster, namespace: str) -> None:
    await make(cluster, namespace, "a")
    await make(cluster, namespace, "b")
    async with Watching(cluster, f"/api/v1/namespaces/{namespace}/secrets") as watch:
        assert sorted(await watch.names(2)) == [("ADDED", "a"), ("ADDED", "b")]


async def test_watch_by_selector_sees_objects_come_and_go(cluster: Cluster, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/secrets"
    version = (await cluster.done("GET", path))["metadata"]["resourceVersion"]
    async with Watching(cluster, path, resourceVersion=version, labelSelector="on=yes") as watch:
        await make(cluster, namespace, "a", on="yes")
        await make(cluster, namespace, "other", on="no")
        await cluster.done("PATCH", f"{path}/a", {"metadata": {"labels": {"on": "no"}}}, MERGE)
        await cluster.done("PATCH", f"{path}/a", {"metadata": {"labels": {"on": "yes"}}}, MERGE)
        assert await watch.names(3) == [("ADDED", "a"), ("DELETED", "a"), ("ADDED", "a")]


async def test_watch_of_one_object_by_its_name(cluster: Cluster, namespace: str) -> None:
    await make(cluster, namespace, "a")
    await make(cluster, namespace, "b")
    path = f"/api/v1/namespaces/{namespace}/secrets"
    async with Watching(cluster, path, fieldSelector="metadata.name=b") as watch:
        assert await watch.names(1) == [("ADDED", "b")]


async def test_watch_ends_at_its_time_out(cluster: Cluster, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/secrets"
    version = (await cluster.done("GET", path))["metadata"]["resourceVersion"]
    async with Watching(cluster, path, resourceVersion=version, timeoutSeconds="1") as watch:
        assert await watch.rest() == b""


async def test_bookmark_comes_before_a_watch_ends(cluster: Cluster, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/secrets"
    version = (await cluster.done("GET", path))["metadata"]["resourceVersion"]
    query = {"resourceVersion": version, "timeoutSeconds": "4", "allowWatchBookmarks": "true"}
    async with Watching(cluster, path, **query) as watch:
        await make(cluster, namespace, "a")
        lines = [json.loads(line) for line in (await watch.rest()).splitlines()]
    assert lines[0]["type"] == "ADDED"
    assert [line["type"] for line in lines[1:]] == ["BOOKMARK"] * len(lines[1:])
    assert len(lines) > 1


async def test_initial_events_end_with_a_bookmark(cluster: Cluster, namespace: str) -> None:
    cluster.needs("1.27", "sendInitialEvents")
    await make(cluster, namespace, "a")
    query = {
        "sendInitialEvents": "true",
        "resourceVersionMatch": "NotOlderThan",
        "allowWatchBookmarks": "true",
    }
    async with Watching(cluster, f"/api/v1/namespaces/{namespace}/secrets", **query) as watch:
        assert await watch.names(1) == [("ADDED", "a")]
        kind, obj = await watch.next()
    assert kind == "BOOKMARK"
    assert obj["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
