"""Servers end with their sandbox, however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

HOLDER = """
import asyncio, os, sys
from pathlib import Path
from azure_sandbox.postgres.host import Host
from azure_sandbox.postgres.instance import Instance
from azure_sandbox.postgres.programs import found_in


async def main():
    programs = found_in(Path(sys.argv[1]))
    host = Host(programs, Path("/none"), lambda: "")
    server = Instance("a", host.new_folder(), host.new_address(), programs.binaries("18"), host.who)
    await server.must("initdb", "-D", str(server.data), "-U", "postgres", "--no-sync")
    main = server.data / "postgresql.conf"
    server.write(main, f"listen_addresses = '{server.address}'\\nunix_socket_directories = '{server.sockets}'\\n")
    await server.start()
    await server.wait_until_it_answers()
    asking = await asyncio.create_subprocess_exec("sleep", "300", cwd=server.folder)  # What a server started.
    print(server.process.pid, asking.pid, server.folder.parent, flush=True)
    await asyncio.sleep(300)


asyncio.run(main())
"""


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_nothing_outlives_a_sandbox_that_is_killed(programs: Any) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(programs.folder)], stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        postmaster, child, folder = holder.stdout.readline().split()
        assert is_alive(int(postmaster))
        os.kill(holder.pid, signal.SIGKILL)
    ends = time.monotonic() + 60
    while is_alive(int(postmaster)) or is_alive(int(child)) or Path(folder).exists():
        assert time.monotonic() < ends, f"{postmaster}, {child} or {folder} is still there"
        time.sleep(0.05)
