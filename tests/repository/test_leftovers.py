"""A test run that is ended in any way leaves nothing running."""

import os
import select
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]


pytestmark = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs pidfd_open")

# A child, a grandchild in a session of its own that ignores SIGTERM, and then whatever is asked for.
RUN = """
    import signal, subprocess, sys, time
    from tests import leftovers

    # As a terminal has them, whatever this test was started by.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    leftovers.PATIENCE_S = 1
    leftovers.watch()
    child = subprocess.Popen(["sleep", "600"])
    stubborn = "trap '' TERM; echo ready; while :; do sleep 600; done"
    grandchild = subprocess.Popen(["sh", "-c", stubborn], start_new_session=True, stdout=subprocess.PIPE)
    grandchild.stdout.readline()
    print(child.pid, grandchild.pid, flush=True)
    if sys.argv[1:] != ["end"]:
        time.sleep(600)
"""


@pytest.mark.parametrize(
    "ending",
    [
        signal.SIGKILL,
        pytest.param(signal.SIGTERM, marks=pytest.mark.thorough),
        pytest.param(signal.SIGINT, marks=pytest.mark.thorough),
        pytest.param(signal.SIGHUP, marks=pytest.mark.thorough),
        pytest.param(None, marks=pytest.mark.thorough),
    ],
)
def test_nothing_started_outlives_a_run_that_ends(ending: signal.Signals | None) -> None:
    command = [sys.executable, "-c", textwrap.dedent(RUN), *(["end"] if ending is None else [])]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as run:
        assert run.stdout is not None
        started = [os.pidfd_open(int(pid)) for pid in run.stdout.readline().split()]
        if ending is not None:
            run.send_signal(ending)
        run.wait()
    for process in started:
        ended, _, _ = select.select([process], [], [], 60)
        os.close(process)
        assert ended
    assert len(started) == 2


@pytest.mark.thorough
@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("workers", ["0", "1"])
def test_no_server_outlives_pytest(ending: signal.Signals, workers: str, tmp_path: Path) -> None:
    """With a sandbox and a Prefect server, in the process that is killed and in one that runs tests for it."""
    told = tmp_path / "pids"
    options = ["-n", workers, "-p", "no:cacheprovider", "-m", "leaves_running"]
    command = [sys.executable, "-m", "pytest", *options, str(Path(__file__).with_name("left_running.py"))]
    foreign = ("PYTEST_", "PREFECT_", "AZURE_", "AKS_POSTGRES_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    environment["TELL_PIDS"] = str(told)
    with subprocess.Popen(command, cwd=REPOSITORY, env=environment, stdout=subprocess.DEVNULL) as run:
        while not told.exists():
            assert run.poll() is None
            time.sleep(0.1)
        started = [os.pidfd_open(int(pid)) for pid in told.read_text().split()]
        run.send_signal(ending)
    for process in started:
        ended, _, _ = select.select([process], [], [], 60)
        os.close(process)
        assert ended
    assert len(started) >= 2
