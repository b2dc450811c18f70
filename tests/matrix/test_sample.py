"""A sample of the matrices (`make matrix` runs them whole): every kind of fault once, and kills at drawn moments."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.thorough

REPOSITORY = Path(__file__).parents[2]


def test_one_fault_of_each_kind_and_kills_at_drawn_moments_end_as_a_clean_run_does() -> None:
    command = [sys.executable, "-m", "tests.matrix", "sample", "--cases", "8"]
    ended = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=170)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "same end" in ended.stdout
