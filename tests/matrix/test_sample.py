"""A sample of the matrices (`make matrix` runs them whole): one case of each part, and some kinds of fault."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.thorough

REPOSITORY = Path(__file__).parents[2]


@pytest.mark.timeout(610)
def test_a_case_of_each_part_ends_as_a_clean_run_does() -> None:
    command = [sys.executable, "-m", "tests.matrix", "sample", "--cases", "12"]
    ended = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=600)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "same end" in ended.stdout
