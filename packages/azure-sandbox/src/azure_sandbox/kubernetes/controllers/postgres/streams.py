"""exec and port-forward into instances, over WebSockets; and their logs.

exec: v4.channel.k8s.io and v5.channel.k8s.io, https://kubernetes.io/docs/reference/using-api/api-concepts/ and
https://github.com/kubernetes/kubernetes/tree/master/staging/src/k8s.io/kubelet/pkg/cri/streaming/remotecommand.
port-forward: v4.channel.k8s.io, two channels a port; kubectl's own way, SPDY, isn't there.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import signal
import struct
import termios
from asyncio.subprocess import PIPE, Process
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from azure_sandbox.kubernetes import errors
from azure_sandbox.kubernetes.conditions import is_true
from azure_sandbox.kubernetes.controllers.cert_manager import METRICS_PORT as CERT_MANAGER_PORT
from azure_sandbox.kubernetes.controllers.cert_manager import certificate_metrics, is_cert_manager
from azure_sandbox.kubernetes.controllers.postgres.controller import PostgresClusters
from azure_sandbox.kubernetes.controllers.postgres.exporter import PORT as METRICS_PORT
from azure_sandbox.kubernetes.controllers.postgres.exporter import volume_metrics
from azure_sandbox.kubernetes.controllers.postgres.kubelet import Served
from azure_sandbox.kubernetes.request import ApiRequest
from azure_sandbox.postgres.instance import PORT
from azure_sandbox.postgres.programs import kill, start

Json = dict[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

PROGRAMS = ("psql", "pg_isready", "pg_controldata")
"""What a container's image is asked to run here."""
STDIN, STDOUT, STDERR, ERROR, RESIZE, CLOSE = 0, 1, 2, 3, 4, 255


class Streams:
    """Ways into the instances of one Kubernetes API."""

    def __init__(self, clusters: PostgresClusters) -> None:
        self._clusters = clusters

    def served(self, namespace: str, pod: str) -> Served | None:
        """The instance that a Pod runs."""
        return self._clusters.served(namespace, pod)

    async def log(self, request: ApiRequest) -> bytes | None:
        """The log of an instance; None for any other Pod."""
        work = self._clusters.work_of(request.namespace, request.name)
        if work is None:
            return None
        content = await work.kubelet.log_of(request.name)
        last = request.number("tailLines")
        return (
            content
            if last is None
            else b"".join(content.splitlines(keepends=True)[len(content.splitlines()) - last :])
        )

    async def proxied(self, request: ApiRequest) -> bytes | None:
        """What a Pod or a node answers to a GET that the API server hands on; None where nobody is there.

        `{pod}:{port}/proxy/metrics` and `{node}/proxy/metrics` are there: an instance's exporter, cert-manager's
        controller, the volumes of a node's kubelet.
        https://kubernetes.io/docs/tasks/access-application-cluster/access-cluster-services/#manually-constructing-apiserver-proxy-urls
        """
        name, _, port = request.name.removeprefix("http:").partition(":")
        path = request.subresource.partition("/")[2]
        if path != "metrics":
            return None
        if request.resource == "nodes":
            return volume_metrics(self._clusters.works.values(), name).encode()
        served = self.served(request.namespace, name)
        if served is not None and served.exporter is not None and port in ("metrics", str(METRICS_PORT)):
            return (await served.exporter.text()).encode() if served.exporter.runs else None
        pod = self._clusters.store.get("pods", request.namespace, name)
        if pod is not None and port in ("http-metrics", str(CERT_MANAGER_PORT)) and is_cert_manager(pod):
            return certificate_metrics(self._clusters.store).encode() if is_true(pod, "Ready") else None
        return None

    async def serve(self, request: ApiRequest, scope: Message, receive: Receive, send: Send) -> None:
        """Serve an accepted request for a stream.

        Raises:
            ApiError: what isn't there, before anything is accepted.
        """
        served = self.served(request.namespace, request.name)
        if served is None:
            raise errors.not_emulated(f"{request.subresource} of a Pod that isn't an instance of a Cluster")
        if not served.started:
            raise errors.bad_request(f"pod {request.name} does not have a running container")
        query = parse_qs(scope["query_string"].decode(), keep_blank_values=True)
        offered = scope.get("subprotocols") or []
        known = (
            ("v5.channel.k8s.io", "v4.channel.k8s.io")
            if request.subresource == "exec"
            else ("v4.channel.k8s.io",)
        )
        chosen = next((protocol for protocol in known if protocol in offered), None)
        if chosen is None and offered:
            raise errors.bad_request(
                f"unable to upgrade: none of {offered} is served, only {', '.join(known)}"
            )
        if request.subresource == "exec":
            await self._exec(served, query, chosen, receive, send)
        else:
            await self._forward(served, query, chosen, receive, send)

    # exec.

    async def _exec(
        self, served: Served, query: dict[str, list[str]], protocol: str | None, receive: Receive, send: Send
    ) -> None:
        command = query.get("command", [])
        tty, takes_input = (query.get(name, ["false"])[-1] in ("true", "1") for name in ("tty", "stdin"))
        container = query.get("container", ["postgres"])[-1]
        if container != "postgres":
            raise errors.bad_request(f"container {container} is not valid for pod {served.server.name}")
        await send({"type": "websocket.accept", "subprotocol": protocol})
        if not command or Path(command[0]).name not in PROGRAMS:
            name = json.dumps(command[0] if command else "")
            text = f"unable to start container process: exec: {name}: executable file not found in $PATH"
            await _end(send, _failure(text))
            return
        program = [str(served.server.binaries / "bin" / Path(command[0]).name), *command[1:]]
        # PGUSER, as the account here isn't called postgres.
        env = {
            **served.server.env,
            "PGDATA": str(served.server.data),
            "TERM": "xterm",
            "PSQL_HISTORY": "/dev/null",
        }
        runner = _Terminal if tty else _Pipes
        running = runner(send)
        process = await running.start(program, env, served)
        reading = asyncio.create_task(_read_client(receive, running, takes_input))
        try:
            code = await running.wait()
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
            if process.returncode is None:
                kill(process, signal.SIGKILL)
                await process.wait()
        await _end(send, _outcome(code))

    # port-forward.

    async def _forward(
        self, served: Served, query: dict[str, list[str]], protocol: str | None, receive: Receive, send: Send
    ) -> None:
        ports = [int(part) for text in query.get("ports", []) for part in text.split(",") if part.isdigit()]
        if not ports:
            raise errors.bad_request('query parameter "ports" is required')
        await send({"type": "websocket.accept", "subprotocol": protocol})
        writers: dict[int, asyncio.StreamWriter] = {}
        tasks: list[asyncio.Task[None]] = []
        try:
            for index, port in enumerate(ports):
                for channel in (2 * index, 2 * index + 1):
                    await _write(send, channel, struct.pack("<H", port))
                if port not in (PORT, METRICS_PORT):
                    text = f"error forwarding port {port} to pod {served.server.name}: connect: connection refused"
                    await _write(send, 2 * index + 1, text.encode())
                    continue
                reader, writers[2 * index] = await asyncio.open_connection(served.server.address, port)
                tasks.append(asyncio.create_task(pump(reader, send, 2 * index)))
            while (message := await receive())["type"] == "websocket.receive":
                content = _bytes(message)
                writer = writers.get(content[0]) if content else None
                if writer is not None and len(content) > 1:
                    writer.write(content[1:])
                    await writer.drain()
        except OSError as error:
            with contextlib.suppress(RuntimeError):
                await _write(send, 1, str(error).encode())
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for writer in writers.values():
                writer.close()
            with contextlib.suppress(RuntimeError):
                await send({"type": "websocket.close", "code": 1000})


async def pump(reader: asyncio.StreamReader, send: Send, channel: int) -> None:
    """Carry what the server says until it ends, or is killed: either is the end of the client's connection, too."""
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(32 * 1024):
            await _write(send, channel, data)
    with contextlib.suppress(RuntimeError):
        await send({"type": "websocket.close", "code": 1000})


class _Pipes:
    """A program without a terminal."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._process: Process | None = None
        self._readers: list[asyncio.Task[None]] = []

    async def start(self, program: list[str], env: dict[str, str], served: Served) -> Process:
        """Start it."""
        streams: Json = {"stdin": PIPE, "stdout": PIPE, "stderr": PIPE}
        process = await start(program, env, served.server.folder, served.server.who, **streams)
        self._process = process
        for channel, stream in ((STDOUT, process.stdout), (STDERR, process.stderr)):
            assert stream is not None
            self._readers.append(asyncio.create_task(self._copy(stream, channel)))
        return process

    async def _copy(self, stream: asyncio.StreamReader, channel: int) -> None:
        while data := await stream.read(32 * 1024):
            await _write(self._send, channel, data)

    async def input(self, data: bytes | None) -> None:
        """Give it input; None is the end of it."""
        assert self._process is not None
        stdin = self._process.stdin
        assert stdin is not None
        with contextlib.suppress(OSError):
            if data is None:
                stdin.close()
            else:
                stdin.write(data)
                await stdin.drain()

    def resize(self, size: Json) -> None:
        """Only a terminal has a size."""

    async def wait(self) -> int:
        """Its exit code, once all that it said is sent."""
        assert self._process is not None
        code = await self._process.wait()
        await asyncio.gather(*self._readers, return_exceptions=True)
        return code


class _Terminal:
    """A program with a terminal of its own."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._process: Process | None = None
        self._master = -1
        self._output: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._sending: asyncio.Task[None] | None = None

    async def start(self, program: list[str], env: dict[str, str], served: Served) -> Process:
        """Start it."""
        self._master, slave = os.openpty()
        os.set_blocking(self._master, False)
        served.server.who.own(Path(os.ttyname(slave)))
        try:
            # `setsid --ctty` makes the terminal the program's own, so that Ctrl-C reaches it.
            command = ["setsid", "--ctty", "--wait", *program]
            streams: Json = {"stdin": slave, "stdout": slave, "stderr": slave}
            self._process = await start(command, env, served.server.folder, served.server.who, **streams)
        finally:
            os.close(slave)
        asyncio.get_running_loop().add_reader(self._master, self._readable)
        self._sending = asyncio.create_task(self._copy())
        return self._process

    def _readable(self) -> None:
        try:
            data = os.read(self._master, 32 * 1024)
        except BlockingIOError:
            return
        except OSError:  # Nobody has the other side any more.
            data = b""
        if data:
            self._output.put_nowait(data)
        else:
            asyncio.get_running_loop().remove_reader(self._master)
            self._output.put_nowait(None)

    async def _copy(self) -> None:
        while (data := await self._output.get()) is not None:
            await _write(self._send, STDOUT, data)

    async def input(self, data: bytes | None) -> None:
        """Type; the end of input is what Ctrl-D is."""
        with contextlib.suppress(OSError):
            os.write(self._master, b"\x04" if data is None else data)

    def resize(self, size: Json) -> None:
        """Give the terminal a size in characters."""
        packed = struct.pack("HHHH", int(size.get("Height", 24)), int(size.get("Width", 80)), 0, 0)
        with contextlib.suppress(OSError, struct.error):
            fcntl.ioctl(self._master, termios.TIOCSWINSZ, packed)

    async def wait(self) -> int:
        """Its exit code, once all that it said is sent."""
        assert self._process is not None
        code = await self._process.wait()
        if self._sending is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._sending, 2)
        asyncio.get_running_loop().remove_reader(self._master)
        os.close(self._master)
        return code


async def _read_client(receive: Receive, running: _Pipes | _Terminal, takes_input: bool) -> None:
    """Hand on what the client sends until it goes away."""
    if not takes_input:
        await running.input(None)
    while (message := await receive())["type"] == "websocket.receive":
        content = _bytes(message)
        if not content:
            continue
        channel, data = content[0], content[1:]
        if channel == STDIN and takes_input and data:
            await running.input(data)
        elif channel == CLOSE and data[:1] == bytes([STDIN]):
            await running.input(None)
        elif channel == RESIZE:
            with contextlib.suppress(ValueError):
                running.resize(json.loads(data))
    await running.input(None)


def _bytes(message: Message) -> bytes:
    content = message.get("bytes")
    return content if content is not None else (message.get("text") or "").encode()


async def _write(send: Send, channel: int, data: bytes) -> None:
    await send({"type": "websocket.send", "bytes": bytes([channel]) + data})


async def _end(send: Send, status: Json) -> None:
    with contextlib.suppress(RuntimeError):
        await _write(send, ERROR, json.dumps(status).encode())
        await send({"type": "websocket.close", "code": 1000})


def _outcome(code: int) -> Json:
    if code == 0:
        return {"metadata": {}, "status": "Success"}
    number = 128 - code if code < 0 else code
    return {
        "metadata": {},
        "status": "Failure",
        "message": f"command terminated with non-zero exit code: exit status {number}",
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": str(number)}]},
    }


def _failure(text: str) -> Json:
    return {
        "metadata": {},
        "status": "Failure",
        "message": f"Internal error occurred: {text}",
        "reason": "InternalError",
        "details": {"causes": [{"message": text}]},
        "code": 500,
    }
