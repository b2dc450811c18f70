"""One PostgreSQL server: its folder, its process, and what it says of itself."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shlex
import signal
import struct
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from azure_sandbox.postgres.programs import Account, Done, kill, run, start

Json = dict[str, Any]

PORT = 5432
SUPERUSER = "postgres"

# What the instance manager asks its server, at once. The control file's timeline is that of the last checkpoint, which
# after a promotion is the old one: https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-INFO-CONTROLDATA
STATUS = """
select json_build_object(
  'in_recovery', pg_is_in_recovery(),
  'system_id', (select system_identifier::text from pg_control_system()),
  'timeline', case when pg_is_in_recovery()
    then coalesce((select received_tli from pg_stat_wal_receiver), (select timeline_id from pg_control_checkpoint()))
    else ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int end,
  'lsn', case when pg_is_in_recovery() then coalesce(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())
    else pg_current_wal_lsn() end,
  'replayed', pg_last_wal_replay_lsn(),
  'receiver', (select status from pg_stat_wal_receiver),
  'pending_restart', (select count(*) from pg_settings where pending_restart),
  'archiver', (select row_to_json(a) from pg_stat_archiver a),
  'streaming', (select coalesce(json_agg(application_name), '[]') from pg_stat_replication where state = 'streaming'),
  'synchronous', (select coalesce(json_agg(application_name), '[]') from pg_stat_replication
    where sync_state in ('sync', 'quorum')),
  'slots', (select coalesce(json_agg(slot_name), '[]') from pg_replication_slots));
"""
# SSLRequest, which a server answers by one byte once its postmaster has forked for the connection:
# https://www.postgresql.org/docs/current/protocol-message-formats.html
SSL_REQUEST = struct.pack("!ii", 8, 80877103)


class PostgresError(Exception):
    """A program of PostgreSQL's failed; the message is its last words."""


class Instance:
    """A server of its own folder, on an address of its own.

    Args:
        name: application name towards a primary.
        folder: its volume: data, certificates, socket and log are below it.
        address: on loopback; the port is 5432.
        binaries: the folder of its version of PostgreSQL.
        who: runs it.
    """

    def __init__(self, name: str, folder: Path, address: str, binaries: Path, who: Account) -> None:
        self.name = name
        self.folder = folder
        self.address = address
        self.binaries = binaries
        self.process: Process | None = None
        self.who = who
        self._client: Process | None = None
        self._asks = asyncio.Lock()
        for part in (folder, self.sockets, self.certificates, self.requests, self.log.parent):
            part.mkdir(mode=0o711, parents=True, exist_ok=True)
            who.own(part)

    @property
    def data(self) -> Path:
        """PGDATA."""
        return self.folder / "pgdata"

    @property
    def sockets(self) -> Path:
        """The folder of the Unix socket."""
        return self.folder / "run"

    @property
    def certificates(self) -> Path:
        """Where the server's and the replica's certificates are."""
        return self.folder / "tls"

    @property
    def requests(self) -> Path:
        """Where archive_command and restore_command leave what they want."""
        return self.folder / "ask"

    @property
    def log(self) -> Path:
        """The server's log, one JSON object a line from PostgreSQL 15 on."""
        return self.folder / "log" / "postgres.json"

    @property
    def env(self) -> dict[str, str]:
        """For its programs: their own libraries, else the system's libpq is loaded, which may be too old."""
        return {
            "LD_LIBRARY_PATH": str(self.binaries / "lib"),
            "PATH": f"{self.binaries / 'bin'}:/usr/bin:/bin",
            "LC_ALL": "C.UTF-8",
            "HOME": str(self.folder),
            "PGHOST": str(self.sockets),
            "PGPORT": str(PORT),
            "PGUSER": SUPERUSER,
            "PGCONNECT_TIMEOUT": "5",
        }

    @property
    def is_running(self) -> bool:
        """Whether there is a postmaster."""
        return self.process is not None and self.process.returncode is None

    async def program(self, name: str, *arguments: str, within_s: float = 120.0) -> Done:
        """Run one of PostgreSQL's programs."""
        command = [str(self.binaries / "bin" / name), *arguments]
        return await run(command, self.env, self.folder, self.who, within_s=within_s)

    async def must(self, name: str, *arguments: str, within_s: float = 120.0) -> str:
        """Run one of PostgreSQL's programs, and have it succeed.

        Raises:
            PostgresError: it didn't.
        """
        done = await self.program(name, *arguments, within_s=within_s)
        if done.code != 0:
            raise PostgresError(f"{name}: {done.last_words}")
        return done.out

    def write(self, path: Path, content: str | bytes, mode: int = 0o600) -> None:
        """Write a file of the server's, all at once."""
        temporary = path.with_name(f".{path.name}.new")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
        self.who.own(temporary)
        os.replace(temporary, path)

    # Its life.

    async def start(self) -> None:
        """Start the server; it isn't asked yet whether it answers."""
        for path in self.requests.iterdir():  # Of scripts that were killed.
            path.unlink(missing_ok=True)
        with self.log.with_suffix(".err").open("ab") as log:
            self.process = await start(
                [str(self.binaries / "bin" / "postgres"), "-D", str(self.data)],
                self.env,
                self.folder,
                self.who,
                stdout=log,
                stderr=STDOUT,
            )

    async def wait_until_it_answers(self, within_s: float = 60.0) -> None:
        """Wait until a query is answered.

        Raises:
            PostgresError: it ended, or didn't answer in so many real seconds.
        """
        loop = asyncio.get_running_loop()
        ends = loop.time() + within_s
        while loop.time() < ends:
            if not self.is_running:
                raise PostgresError(f"{self.name} ended: {self.last_words()}")
            if (await self.program("pg_isready", "-q", within_s=10)).code == 0:
                return
            await asyncio.sleep(0.05)
        raise PostgresError(f"{self.name} didn't answer: {self.last_words()}")

    def last_words(self) -> str:
        """The end of what the server said before its log began, or in it."""
        for path in (self.log.with_suffix(".err"), self.log):
            with contextlib.suppress(OSError):
                if text := path.read_text(errors="replace").strip():
                    return " ".join(text.splitlines()[-3:])[-400:]
        return "no word"

    async def stop(self, number: int = signal.SIGINT, within_s: float = 60.0) -> None:
        """End the server: SIGTERM smart, SIGINT fast, SIGQUIT immediate; what doesn't end is killed."""
        self._hang_up()
        process = self.process
        if process is None:
            return
        if process.returncode is None:
            kill(process, number)
            try:
                await asyncio.wait_for(process.wait(), within_s)
            except TimeoutError:
                await self.kill()
        self.process = None

    async def kill(self) -> None:
        """Kill the postmaster; its children end when they notice, which must be over before it starts again."""
        self._hang_up()
        process = self.process
        if process is None:
            return
        if process.returncode is None:
            kill(process, signal.SIGCONT)
            kill(process)
            await process.wait()
        self.process = None
        await self._end_children()

    async def _end_children(self) -> None:
        for _ in range(100):
            left = processes_below(self.folder)
            if not left:
                return
            for child in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child, signal.SIGKILL)
            await asyncio.sleep(0.02)

    # What it says.

    async def sql(self, text: str, database: str = SUPERUSER, within_s: float = 15.0) -> str:
        """Run SQL as the superuser over the socket; what it prints, unaligned.

        Raises:
            PostgresError: it failed, or took too long.
        """
        return await self.script(text, database, within_s)

    async def script(self, text: str, database: str, within_s: float) -> str:
        """Run SQL from standard input, so that no password is in a command line."""
        command = [
            str(self.binaries / "bin" / "psql"),
            "-XAtq",
            "-v",
            "ON_ERROR_STOP=1",
            "-d",
            database,
            "-f",
            "-",
        ]
        # Set-up must not wait for a standby that isn't there yet.
        env = {**self.env, "PGOPTIONS": "-c synchronous_commit=local -c statement_timeout=60s"}
        done = await run(command, env, self.folder, self.who, text=text, within_s=within_s)
        if done.code != 0:
            raise PostgresError(done.last_words)
        return done.out.strip()

    async def status(self, within_s: float = 5.0) -> Json | None:
        """What the server says of itself; None when it doesn't answer.

        As the instance manager does: a new connection shows that the postmaster lives, and what is asked goes over one
        that stays. A program for each look would keep a core busy.
        """
        return await self.ask(" ".join(STATUS.split()), within_s)

    async def ask(self, query: str, within_s: float = 5.0) -> Json | None:
        """The one line of JSON that a query of one line selects; None when the server doesn't answer."""
        async with self._asks:
            try:
                async with asyncio.timeout(within_s):
                    if not self.is_running:
                        return None
                    await self._see_it_fork()
                    found: Json = json.loads(await self._ask(query))
                    return found
            except (OSError, ValueError, asyncio.IncompleteReadError):
                self._hang_up()
                return None

    async def _see_it_fork(self) -> None:
        reader, writer = await asyncio.open_unix_connection(self.sockets / f".s.PGSQL.{PORT}")
        try:
            writer.write(SSL_REQUEST)
            await reader.readexactly(1)
        finally:
            writer.close()

    async def _ask(self, query: str) -> bytes:
        """Ask over a connection that stays; the answer is one line."""
        client = self._client
        if client is None or client.returncode is not None:
            command = [str(self.binaries / "bin" / "psql"), "-XAtq", "-d", SUPERUSER, "-f", "-"]
            client = await start(
                command, self.env, self.folder, self.who, stdin=PIPE, stdout=PIPE, stderr=STDOUT
            )
            self._client = client
        assert client.stdin is not None
        assert client.stdout is not None
        client.stdin.write(query.encode() + b"\n")
        await client.stdin.drain()
        return await client.stdout.readline()

    def _hang_up(self) -> None:
        client, self._client = self._client, None
        if client is not None and client.returncode is None:
            kill(client)

    def configure(self, settings: Mapping[str, str], hba: str, ident: str) -> bool:
        """Write the server's configuration; whether anything has changed."""
        lines = "".join(f"{name} = '{_quoted(value)}'\n" for name, value in sorted(settings.items()))
        changed = False
        for name, content in (("custom.conf", lines), ("pg_hba.conf", hba), ("pg_ident.conf", ident)):
            path = self.data / name
            if not path.exists() or path.read_text() != content:
                self.write(path, content)
                changed = True
        main = self.data / "postgresql.conf"
        if "include 'custom.conf'" not in main.read_text():
            self.write(main, main.read_text() + "\ninclude 'custom.conf'\n")
        return changed

    def ask_command(self, what: str, *arguments: str) -> str:
        """An archive_command or restore_command: a script that asks this process, and ends when it is gone."""
        script = self.folder / "ask.sh"
        if not script.exists():
            self.write(script, ASK.format(folder=shlex.quote(str(self.requests)), pid=os.getpid()), 0o755)
        return " ".join(["/bin/sh", shlex.quote(str(script)), what, *arguments])


ASK = """\
#!/bin/sh
# Asks the sandbox for "$1" of "$2" at "$3", and waits for its answer as long as the sandbox lives.
cd {folder} || exit 1
printf '%s\\n' "$1" "$2" "$3" > ".$$" && mv ".$$" "$$.ask" || exit 1
while [ ! -f "$$.answer" ]; do [ -d /proc/{pid} ] || exit 1; sleep 0.05; done
read -r code < "$$.answer"
rm -f "$$.answer" "$$.ask"
exit "$code"
"""


def processes_below(folder: Path) -> list[int]:
    """Processes that work in a folder: a server's children, each in a session of its own, and its scripts."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cwd"):
        with contextlib.suppress(OSError):
            if Path(os.readlink(path)).is_relative_to(folder):
                found.append(int(path.parent.name))
    return found


def _quoted(value: str) -> str:
    return value.replace("'", "''")
