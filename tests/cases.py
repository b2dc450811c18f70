"""Families of cases: `make test` shows some of them, `make test-thorough` the rest."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest


def shown(cases: Iterable[Any], *, first: int = 2) -> list[Any]:
    """The cases of a family, all but the first few left to `make test-thorough`.

    Args:
        cases: values for `pytest.mark.parametrize`; a tuple is a case of several arguments.
        first: how many `make test` runs.
    """
    return [
        case
        if number < first
        else pytest.param(*(case if isinstance(case, tuple) else (case,)), marks=pytest.mark.thorough)
        for number, case in enumerate(cases)
    ]
