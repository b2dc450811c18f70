"""How `make test` shares its tests out among processes: file by file, those that take longest first."""

from __future__ import annotations

import re

import pytest
from xdist.scheduler import LoadFileScheduling

# Where the seconds are, as `--durations=0` counts them. What is quick comes last: no process is alone at the end.
LONG = (
    "tests/database/test_drift.py",
    "tests/database/test_real_postgres.py",
    "packages/azure-sandbox/tests/database/test_backups.py",
    "tests/database/test_demo.py",
    "packages/azure-sandbox/tests/database/test_instances.py",
    "tests/cli/test_commands.py",
    "tests/flows",
    "tests/cli",
    "packages/azure-sandbox/tests/kubernetes",
    "packages/azure-sandbox/tests/aks",
    "tests/tasks/test_operator_chart.py",
    "tests/tasks",
)
_CONTRACT_WITH_A_REAL_SERVER = re.compile(
    r"packages/azure-sandbox/tests/kubernetes/.*\[(?:.*-)?real(?:-.*)?\]$"
)


class LongestFirst(LoadFileScheduling):
    """Files to processes, and the tests that share one real Kubernetes API server to one of them."""

    def _split_scope(self, nodeid: str) -> str:
        return unit_of(nodeid)


def unit_of(nodeid: str) -> str:
    """What a test stays together with."""
    if _CONTRACT_WITH_A_REAL_SERVER.match(nodeid):
        return "a real Kubernetes API server"
    return nodeid.partition("::")[0]


def longest_first(items: list[pytest.Item]) -> None:
    """Put what takes long at the front; all processes have to collect in the same order."""
    items.sort(key=lambda item: _rank(item.nodeid))


def _rank(nodeid: str) -> int:
    return next((rank for rank, start in enumerate(LONG) if nodeid.startswith(start)), len(LONG))
