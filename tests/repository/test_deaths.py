"""The end-to-end tests' two runs that die: whatever keeps one from dying is told at once."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest

from ..end_to_end.conftest import Deaths
from ..end_to_end.stack import SLOW


class Settings:
    def settings(self, **_: Any) -> None:
        """Take them."""


class FailingStack:
    """A stack on which one of the two runs can't be started, and the other one goes on for ever."""

    def __init__(self, failing: str) -> None:
        self._failing = failing
        self.sandboxes = {SLOW: Settings()}

    def start_worker(self, *_: str) -> None:
        """There is nothing to start."""

    def spec(self, _: str, *, name: str) -> dict[str, str]:
        return {"name": name}

    async def submit(self, _: str, spec: dict[str, str], __: str) -> Any:
        if spec["name"] == self._failing:
            raise ConnectionError("the server is gone")
        return uuid4()

    async def is_making_a_cluster(self, *_: Any) -> None:
        await asyncio.Event().wait()


@pytest.mark.parametrize("failing", ["dead1", "dead2"])
async def test_a_run_that_cant_die_is_told_at_once(failing: str) -> None:
    deaths = Deaths(FailingStack(failing))  # type: ignore[arg-type]
    try:
        async with asyncio.timeout(30):
            with pytest.raises(ConnectionError, match="the server is gone"):
                await deaths.began()
    finally:
        await deaths.stop()
