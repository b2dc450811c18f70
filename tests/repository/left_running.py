"""What `test_leftovers` starts and ends: a test that never ends, with servers; nobody else collects it."""

import os
import time
from pathlib import Path

import pytest

from azure_sandbox.client import SandboxProcess

from .. import leftovers


@pytest.mark.leaves_running
def test_that_never_ends(sandbox: SandboxProcess, prefect_api: None) -> None:
    mine = os.environ[leftovers.MARK].split()[-1]
    started = leftovers.bearers(mine).items()
    servers = [pid for pid, command in started if "-m azure_sandbox" in command or "uvicorn" in command]
    assert len(servers) >= 2
    told = Path(os.environ["TELL_PIDS"])
    told.with_suffix(".new").write_text(" ".join(map(str, servers)))
    told.with_suffix(".new").rename(told)
    time.sleep(600)
