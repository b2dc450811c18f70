"""How tests are shared out among processes."""

from pathlib import Path

import pytest

from ..side_by_side import LONG, unit_of

ROOT = Path(__file__).parents[2]
CONTRACT = "packages/azure-sandbox/tests/kubernetes"


@pytest.mark.parametrize("start", LONG)
def test_what_takes_long_is_there(start: str) -> None:
    assert (ROOT / start).exists()


def test_a_real_api_server_is_shared_and_all_else_goes_by_file() -> None:
    real = [
        f"{CONTRACT}/test_a.py::test_x[real]",
        f"{CONTRACT}/test_b.py::test_y[real-some thing]",
        f"{CONTRACT}/test_b.py::test_y[other-real]",
    ]
    assert len({unit_of(nodeid) for nodeid in real}) == 1
    for nodeid in (
        f"{CONTRACT}/test_a.py::test_x[emulated]",
        f"{CONTRACT}/test_real.py::test_x",
        "tests/a.py::T::t",
    ):
        assert unit_of(nodeid) == nodeid.partition("::")[0]
