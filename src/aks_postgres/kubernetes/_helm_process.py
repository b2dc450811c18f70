"""The Helm SDK in a process of its own, driven by `kubernetes.helm`; nobody imports this file.

JSON lines: the cluster's credentials first, then one request after the other on standard input; one answer for each
on standard output. The end of standard input means stop: a call that is under way is cancelled, and what doesn't let
itself be cancelled is ended with the process. So nothing outlives the run that asked for it, however that one ends.

The kubeconfig is never a file on disk, an argument or an environment variable: the SDK, which insists on a path, gets
that of a file in memory (memfd), `/proc/self/fd/N`. The SDK's own `kubeconfig_content` would write a temporary file
that stays behind when the process is killed.
"""

from __future__ import annotations

import base64
import json
import os
import queue
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import helm_python as helm

from aks_postgres.files.yaml_text import yaml_documents

Json = dict[str, Any]

# Real seconds that a cancelled call has to tell Helm's storage that it failed.
_LAST_WORDS_S = 4.0
_WATCH_S = 0.1


class Session:
    """The calls that `kubernetes.helm` makes, for one namespace of one cluster."""

    def __init__(self, kubeconfig: str, namespace: str) -> None:
        self.context = helm.HelmContext()
        if not kubeconfig:  # for calls that need no cluster
            return
        file = os.memfd_create("kubeconfig", os.MFD_CLOEXEC)
        os.write(file, kubeconfig.encode())
        self._config = helm.Config(kubeconfig_path=f"/proc/self/fd/{file}", namespace=namespace)

    def read(self, name: str) -> Json | None:
        """The newest revision of a release, without its texts; None when there is no release."""
        try:
            found = self._config.get_all(name)
        except helm.HelmNotFoundError:
            return None
        summary, info = found["summary"], found.get("info") or {}
        return {
            "revision": summary["revision"],
            "status": summary["status"],
            "chart_name": summary.get("chart_name", ""),
            "chart_version": summary.get("chart_version", ""),
            "deployed_at": summary.get("deployed_at", ""),
            "labels": summary.get("labels") or {},
            "description": info.get("description", ""),
            "values": found.get("config") or {},
            "objects": _objects(summary.get("manifest") or ""),
        }

    def history(self, name: str) -> list[Json]:
        """Number and status of every revision, oldest first."""
        return [
            {"revision": item["revision"], "status": item["status"]} for item in self._config.history(name)
        ]

    def render(self, name: str, chart: str, values: Json, namespace: str) -> list[Json]:
        """The objects of a chart (the .tgz in base64) with these values, which Helm holds against its schema."""
        with helm.Chart.load_archive(base64.b64decode(chart)) as loaded:
            texts = loaded.render(values, name=name, namespace=namespace, is_install=True)
        found = [
            item for file, text in texts.items() if not file.endswith(".txt") for item in yaml_documents(text)
        ]
        objects = [item for item in found if isinstance(item, dict)]
        for item in objects:
            if item.get("kind") == "CustomResourceDefinition":
                item.pop("spec", None)  # a megabyte, which no value changes
        return objects

    def install(self, name: str, chart: str, values: Json, **options: Any) -> None:
        """Install a chart (the .tgz in base64) as a new release."""
        with helm.Chart.load_archive(base64.b64decode(chart)) as loaded:
            self._config.install(loaded, name, values, context=self.context, wait="hookOnly", **options)

    def upgrade(self, name: str, chart: str, values: Json, **options: Any) -> None:
        """Bring a release to a chart and to exactly these values."""
        with helm.Chart.load_archive(base64.b64decode(chart)) as loaded:
            # Without reset_values no values at all would mean those of the last revision.
            self._config.upgrade(
                loaded, name, values, context=self.context, wait="hookOnly", reset_values=True, **options
            )

    def rollback(self, name: str, **options: Any) -> None:
        """Apply an earlier revision again, as a new one."""
        self._config.rollback(name, wait="hookOnly", **options)

    def uninstall(self, name: str, **options: Any) -> None:
        """Remove a release and its history; objects that ask to be kept stay, as the chart's CRDs do."""
        self._config.uninstall(name, ignore_not_found=True, wait="hookOnly", **options)


def _objects(manifest: str) -> list[Json]:
    found = [item for item in yaml_documents(manifest) if isinstance(item, dict)]
    return [
        {
            "apiVersion": item["apiVersion"],
            "kind": item["kind"],
            "metadata": {
                key: item["metadata"][key] for key in ("name", "namespace") if key in item["metadata"]
            },
        }
        for item in found
    ]


def main() -> None:
    """Answer requests until standard input ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a library prints belongs to the messages, not between the answers
    first = json.loads(sys.stdin.buffer.readline())
    session = Session(first["kubeconfig"], first["namespace"])
    requests: queue.SimpleQueue[Json | None] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(requests.put, session.context), daemon=True).start()
    while (request := requests.get()) is not None:
        call: Callable[..., Any] = getattr(session, request.pop("call"))
        try:
            answer = {"result": call(**request)}
        except helm.HelmError as error:
            answer = {"error": type(error).__name__, "message": error.detail}
        print(json.dumps(answer), file=answers, flush=True)


class _Deadline:
    """Until when this process may write; past it, it ends, in the middle of a call too.

    Whoever started it says so after each heartbeat of its lock. Time passes while the process or the machine sleeps.
    """

    def __init__(self) -> None:
        self._until: tuple[float, float] | None = None

    def move(self, in_s: float | None) -> None:
        """Set it to so many seconds from now, or to none."""
        self._until = None if in_s is None else tuple(now + in_s for now in _clocks())  # type: ignore[assignment]

    def watch(self) -> None:
        """Look at it for ever."""
        while True:
            until = self._until
            if until is not None and any(now > end for now, end in zip(_clocks(), until, strict=True)):
                os._exit(3)
            time.sleep(_WATCH_S)


def _clocks() -> tuple[float, float]:
    return time.clock_gettime(time.CLOCK_BOOTTIME), time.time()


def _listen(put: Callable[[Json | None], None], context: helm.HelmContext) -> None:
    deadline = _Deadline()
    threading.Thread(target=deadline.watch, daemon=True).start()
    for line in sys.stdin.buffer:
        request = json.loads(line)
        if "may_write_for_s" in request:
            deadline.move(request["may_write_for_s"])
        else:
            put(request)
    put(None)
    # Python handles no signal while the main thread is inside the SDK, so this thread ends the process.
    last = threading.Timer(_LAST_WORDS_S, os._exit, [1])
    last.daemon = True
    last.start()
    context.cancel()


if __name__ == "__main__":
    main()
