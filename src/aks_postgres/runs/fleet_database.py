"""Whether the Prefect server keeps its data where a fleet finds room: PostgreSQL, not SQLite.

SQLite writes one transaction at a time; runs that come together wait for each other, and in the end get no answer. The
figures are in docs/benchmark.md.
"""

from __future__ import annotations

from typing import Any, Literal

import httpx
from prefect import get_client
from prefect.client.base import ServerType
from prefect.logging import get_run_logger
from prefect.settings import get_current_settings

from aks_postgres.spec.problems import SpecError, SpecProblem

Database = Literal["PostgreSQL", "SQLite", "unknown"]

# Environments at once.
MOST_ON_SQLITE = 10


async def database_of_server() -> Database:
    """What the Prefect server keeps its data in; a server on another machine says so only if its driver is set."""
    async with get_client() as client:
        if client.server_type != ServerType.SERVER or get_current_settings().api.url is None:
            # A temporary server, of this process's settings.
            url = get_current_settings().server.database.connection_url
            return _named(url.get_secret_value() if url else "sqlite")
        try:
            settings = (await client.request("GET", "/admin/settings")).json()
        except httpx.HTTPStatusError:  # Prefect Cloud, and others that don't tell
            return "unknown"
        return named_in(settings)


def named_in(settings: dict[str, Any]) -> Database:
    """The database by a server's settings, in which its URL is hidden."""
    return _named(str(((settings.get("server") or {}).get("database") or {}).get("driver") or ""))


def _named(url_or_driver: str) -> Database:
    if url_or_driver.startswith("postgresql"):
        return "PostgreSQL"
    return "SQLite" if url_or_driver.startswith("sqlite") else "unknown"


async def refuse_sqlite(at_once: int) -> None:
    """See that so many environments at once have PostgreSQL behind them; warn where the server doesn't say.

    Raises:
        SpecError: the server is known to be on SQLite.
    """
    if at_once <= MOST_ON_SQLITE or (database := await database_of_server()) == "PostgreSQL":
        return
    why = "SQLite writes one transaction at a time, and fails runs that come together (docs/benchmark.md)"
    if database == "SQLite":
        allowed = (
            f"at most {MOST_ON_SQLITE}, as the Prefect server keeps its data in SQLite, or PostgreSQL; {why}"
        )
        raise SpecError([SpecProblem(field="at_once", given=str(at_once), allowed=allowed)])
    get_run_logger().warning(
        "%d environments at once: let the Prefect server keep its data in PostgreSQL. %s. "
        "PREFECT_SERVER_DATABASE_DRIVER=postgresql+asyncpg on the server ends this warning.",
        at_once,
        why,
    )
