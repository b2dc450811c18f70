"""A fleet wants PostgreSQL behind its server: SQLite is refused, and what isn't known is warned about."""

import logging
from typing import Any

import pytest
from prefect import flow
from prefect.settings import PREFECT_API_URL, temporary_settings

from aks_postgres.runs.fleet_database import MOST_ON_SQLITE, database_of_server, named_in, refuse_sqlite
from aks_postgres.spec.problems import SpecError

pytestmark = pytest.mark.usefixtures("prefect_api")


@flow
async def warned(at_once: int) -> None:
    await refuse_sqlite(at_once)


async def said(at_once: int, caplog: pytest.LogCaptureFixture) -> list[str]:
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        await warned(at_once)
    return [record.getMessage() for record in caplog.records if "PostgreSQL" in record.getMessage()]


async def test_few_environments_are_fine_on_any_database(caplog: pytest.LogCaptureFixture) -> None:
    assert await said(MOST_ON_SQLITE, caplog) == []


async def test_many_on_a_server_that_does_not_say_are_told_why(caplog: pytest.LogCaptureFixture) -> None:
    (words,) = await said(MOST_ON_SQLITE + 1, caplog)
    assert words.startswith("11 environments at once")
    assert "docs/benchmark.md" in words


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"server": {"database": {"driver": "postgresql+asyncpg"}}}, "PostgreSQL"),
        ({"server": {"database": {"driver": "sqlite+aiosqlite"}}}, "SQLite"),
        ({"server": {"database": {"driver": None, "connection_url": "**********"}}}, "unknown"),
        ({}, "unknown"),
    ],
)
def test_a_server_is_known_by_its_driver(settings: dict[str, Any], named: str) -> None:
    assert named_in(settings) == named


async def test_a_server_that_hides_its_url_is_not_known() -> None:
    assert await database_of_server() == "unknown"


@pytest.mark.thorough
async def test_many_on_sqlite_are_refused_and_told_why() -> None:
    with temporary_settings({PREFECT_API_URL: None}), pytest.raises(SpecError) as refused:
        await refuse_sqlite(50)
    assert "at_once" in str(refused.value)
    assert "at most 10, as the Prefect server keeps its data in SQLite" in str(refused.value)
