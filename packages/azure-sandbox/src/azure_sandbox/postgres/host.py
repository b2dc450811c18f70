"""Where a sandbox's servers live: their folders, their loopback addresses, and the ways to them."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import random
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from azure_sandbox.postgres.instance import PORT
from azure_sandbox.postgres.programs import Account, Programs, account

# Its input ends when the sandbox does, however it does. Servers have ended by then; what they and barman-cloud started
# may not have. Whatever works below the folder is killed, and the folder removed, with the shared memory that a killed
# server leaves.
REAPER = """\
cat > /dev/null
for round in 1 2 3; do
  for process in /proc/[0-9]*; do
    case "$(readlink "$process/cwd")" in "$1"|"$1"/*) kill -9 "${process#/proc/}" ;; esac
  done
done
for lock in "$1"/*/pgdata/postmaster.pid; do
  [ -f "$lock" ] && ipcrm -m "$(sed -n 7p "$lock" | tr -s ' ' | cut -d ' ' -f 3)"
done
rm -rf "$1"
"""
PREFIX = "azure-sandbox-postgres-"


class Host:
    """The servers of one sandbox.

    Args:
        programs: what is installed.
        ca_bundle: the authorities that barman trusts.
        proxy_url: how barman reaches Azure's host names.
    """

    def __init__(self, programs: Programs, ca_bundle: Path, proxy_url: Callable[[], str]) -> None:
        self.programs = programs
        self.ca_bundle = ca_bundle
        self.proxy_url = proxy_url
        self.who: Account = account()
        self._folder: Path | None = None
        self._reaper: subprocess.Popen[bytes] | None = None
        self._made = 0
        # Sandboxes at the same time begin at different places.
        self._next = random.Random(os.getpid()).randrange(2**22)

    def new_folder(self) -> Path:
        """A folder for a volume, which ends with this sandbox.

        Not in the state folder: that is its owner's alone, and root's servers run as another account. The path is
        short, since a Unix socket's has 107 bytes at most.
        """
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-"))
            self._folder.chmod(0o711)
            self._reaper = subprocess.Popen(
                ["/bin/sh", "-c", REAPER, "reaper", str(self._folder)],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                start_new_session=True,
            )
        self._made += 1
        folder = self._folder / str(self._made)
        folder.mkdir(mode=0o711)
        self.who.own(folder)
        return folder

    def new_address(self) -> str:
        """A loopback address whose port 5432 is free."""
        for _ in range(1000):
            self._next = (self._next + 1) % 2**22
            number = self._next
            address = f"127.{64 + (number >> 16)}.{number >> 8 & 255}.{max(1, min(number & 255, 254))}"
            with socket.socket() as probe, contextlib.suppress(OSError):
                probe.bind((address, PORT))
                return address
        raise OSError("no loopback address has its port 5432 free")

    def close(self) -> None:
        """Remove the folders, once nothing runs in them."""
        if self._reaper is not None and self._reaper.stdin is not None:
            self._reaper.stdin.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._reaper.wait(10)
        self._reaper = self._folder = None


class Relay:
    """A TCP port on loopback that leads to one of several servers, chosen anew for each connection.

    Args:
        address: where it listens.
        port: where it listens.
        choose: address and port of who serves the next connection; None refuses it.
    """

    def __init__(self, address: str, port: int, choose: Callable[[], tuple[str, int] | None]) -> None:
        self.address = address
        self.port = port
        self._choose = choose
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listen."""
        self._server = await asyncio.start_server(self._serve, self.address, self.port)

    async def stop(self) -> None:
        """Close the port and every connection."""
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            target = self._choose()
            if target is None:
                writer.transport.abort()
                return
            inner_reader, inner_writer = await asyncio.open_connection(*target)
            try:
                await both_ways(reader, writer, inner_reader, inner_writer)
            finally:
                inner_writer.close()
        except OSError:
            writer.transport.abort()
        finally:
            self._tasks.discard(task)
            writer.close()


async def both_ways(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    inner_reader: asyncio.StreamReader,
    inner_writer: asyncio.StreamWriter,
) -> None:
    """Hand bytes on in both directions until one side is done."""

    async def pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        while data := await source.read(64 * 1024):
            target.write(data)
            await target.drain()

    ways = {
        asyncio.ensure_future(pump(reader, inner_writer)),
        asyncio.ensure_future(pump(inner_reader, writer)),
    }
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)


def remove_abandoned() -> None:
    """Remove the folders of sandboxes that were killed, and the shared memory that their servers left."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        pid = folder.name.removeprefix(PREFIX).partition("-")[0]
        if not pid.isdigit() or Path(f"/proc/{pid}").exists():
            continue
        if folder.stat().st_uid != os.geteuid():
            continue
        for lock in folder.glob("*/pgdata/postmaster.pid"):
            _remove_shared_memory(lock)
        shutil.rmtree(folder, ignore_errors=True)


def _remove_shared_memory(lock: Path) -> None:
    """Of the segment that the lock file's seventh line names: key and ID."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        segment = int(lock.read_text().splitlines()[6].split()[1])
        ctypes.CDLL(None).shmctl(segment, 0, None)
