"""The programs that are installed, the account that they run as, and how one is run.

PostgreSQL refuses to run as root, and initdb wants an account that the passwd file knows: root's processes become those
of `postgres` or `nobody`. Whatever is started ends with this process, however it ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import pwd
import re
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = "AZURE_SANDBOX_POSTGRES"
OFF = "off"
BARMAN = "barman"
PSQL = "psql"
ACCOUNTS = ("postgres", "nobody")
"""Who PostgreSQL is run as by root: the first that there is."""


def default_folder() -> Path:
    """Where programs are looked for: what AZURE_SANDBOX_POSTGRES says, or a cache of this account's."""
    named = os.environ.get(FOLDER)
    if named:
        return Path(named)
    if os.geteuid() == 0:  # Another account runs them, which can't look into root's home.
        return Path("/var/cache/azure-sandbox/postgres")
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "azure-sandbox" / "postgres"


@dataclass(frozen=True)
class Programs:
    """What is installed in a folder.

    Attributes:
        versions: of PostgreSQL, such as 18.6, the newest first.
        barman: the folder with barman-cloud's programs.
    """

    folder: Path
    versions: tuple[str, ...]
    barman: Path | None

    @property
    def psql(self) -> Path | None:
        """A client that finds its own libraries."""
        client = self.folder / PSQL
        return client if client.exists() else None

    def binaries(self, version: str) -> Path | None:
        """The folder of a version, such as 18 or 18.6; of the newest minor, where only the major is said."""
        found = next(
            (found for found in self.versions if found == version or found.partition(".")[0] == version), None
        )
        return None if found is None else self.folder / f"{found}.0"


def found_in(folder: Path) -> Programs | None:
    """What is installed in a folder; None when it holds no PostgreSQL."""
    names = [path.parents[1].name for path in folder.glob("*/bin/postgres")]
    versions = sorted(
        (name.removesuffix(".0") for name in names if name.endswith(".0")), key=_number, reverse=True
    )
    barman = folder / BARMAN / "bin"
    has_barman = (barman / "barman-cloud-backup").exists()
    return Programs(folder, tuple(versions), barman if has_barman else None) if versions else None


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))


@dataclass(frozen=True)
class Account:
    """Who PostgreSQL runs as."""

    name: str
    uid: int
    gid: int

    def own(self, path: Path) -> None:
        """Make a file or folder this account's."""
        if os.geteuid() == 0:
            os.chown(path, self.uid, self.gid)


class NoAccount(Exception):
    """There is nobody to run PostgreSQL as; the message says why."""


def account() -> Account:
    """Who PostgreSQL is run as here.

    Raises:
        NoAccount: the passwd file knows nobody for it.
    """
    if os.geteuid() != 0:
        try:
            found = pwd.getpwuid(os.geteuid())
        except KeyError:
            text = f"initdb wants an account that the passwd file knows, and it doesn't know {os.geteuid()}"
            raise NoAccount(text) from None
        return Account(found.pw_name, found.pw_uid, found.pw_gid)
    for name in ACCOUNTS:
        try:
            found = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(name, found.pw_uid, found.pw_gid)
    raise NoAccount(f"PostgreSQL doesn't run as root, and there is no account {' or '.join(ACCOUNTS)}")


# Looked up before any fork: after it, only what is loaded may be used.
_prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else None
_PR_SET_PDEATHSIG = 1


def _end_with_parent() -> None:
    """In the child, after its change of account: Linux kills it when this process is gone, even by SIGKILL."""
    if _prctl is not None:
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


async def start(
    command: list[str], env: dict[str, str], cwd: Path, who: Account | None = None, **streams: Any
) -> Process:
    """Start a program, as another account if one is given and this is root."""
    options: dict[str, Any] = {}
    if who is not None and os.geteuid() == 0:
        options = {"user": who.uid, "group": who.gid, "extra_groups": []}
    return await asyncio.create_subprocess_exec(
        *command,
        env=env,
        cwd=cwd,
        stdin=streams.get("stdin", DEVNULL),
        stdout=streams.get("stdout", DEVNULL),
        stderr=streams.get("stderr", DEVNULL),
        preexec_fn=_end_with_parent,
        start_new_session=True,
        **options,
    )


@dataclass(frozen=True)
class Done:
    """How a program ended; `code` is None when it was killed for taking too long."""

    code: int | None
    out: str
    err: str

    @property
    def last_words(self) -> str:
        """The end of what it said, on one line."""
        return " ".join((self.err or self.out).split())[-400:]


async def run(
    command: list[str],
    env: dict[str, str],
    cwd: Path,
    who: Account | None = None,
    *,
    text: str | None = None,
    within_s: float = 60.0,
) -> Done:
    """Run a program to its end, or to the end of so many real seconds."""
    process = await start(
        command, env, cwd, who, stdin=PIPE if text is not None else DEVNULL, stdout=PIPE, stderr=PIPE
    )
    try:
        sent = None if text is None else text.encode()
        out, err = await asyncio.wait_for(process.communicate(sent), within_s)
        code: int | None = process.returncode
    except TimeoutError:
        code, out, err = None, b"", f"{Path(command[0]).name} took more than {within_s:.0f} s".encode()
    finally:
        if process.returncode is None:
            kill(process)
            await process.wait()
    return Done(code, out.decode(errors="replace"), err.decode(errors="replace"))


def kill(process: Process, number: int = signal.SIGKILL) -> None:
    """Signal a program, and those that it started and that stayed in its group; they may have ended meanwhile."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


async def end(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel tasks until they have ended: `asyncio.wait_for` of Python 3.11 may swallow a cancellation."""
    pending = {task for task in tasks if not task.done()}
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=0.5)
