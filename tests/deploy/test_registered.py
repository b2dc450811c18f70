"""What `python -m aks_postgres.deploy setup` looks at on a server before and after its own part."""

import json
from http.server import BaseHTTPRequestHandler
from types import SimpleNamespace
from typing import Any

import pytest
from prefect import get_client
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.settings.models.server.services import ServerServicesSettings

from aks_postgres.cli.deployments import prepare_server
from aks_postgres.deploy.registered import SERVICES, missing_services, switched_off
from aks_postgres.exit_codes import CommandFailed, ExitCode

from ..cases import shown
from ..cli.test_prefect_server import served

WANTED = {"schedules": [{"slug": "drift", "active": True}, {"slug": "other", "active": False}]}


def test_the_services_are_prefects() -> None:
    assert set(SERVICES) <= set(ServerServicesSettings.model_fields)


def server_with(status: int = 200, **off: bool) -> type[BaseHTTPRequestHandler]:
    """A server that says this of its settings, as `GET /api/admin/settings` does."""
    services = {name: {"enabled": True} for name in ServerServicesSettings.model_fields}
    services |= {name: {"enabled": not is_off} for name, is_off in off.items()}
    body = json.dumps({"server": {"services": services}}).encode()

    class Settings(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path.startswith("/api/admin/settings") else 200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Keep quiet."""

    return Settings


async def lacking(status: int = 200, **off: bool) -> list[str]:
    with (
        served(server_with(status, **off)) as address,
        temporary_settings({PREFECT_API_URL: f"{address}/api"}),
    ):
        async with get_client() as client:
            return await missing_services(client)


async def test_a_server_that_does_everything_lacks_nothing_and_cloud_says_nothing() -> None:
    assert await lacking() == []
    assert await lacking(404, triggers=True) == []


@pytest.mark.parametrize("name", shown(SERVICES, first=1))
async def test_a_service_that_is_switched_off_is_named_with_its_variable(name: str) -> None:
    (line,) = await lacking(**{name: True})
    assert line == f"{SERVICES[name]}: set PREFECT_SERVER_SERVICES_{name.upper()}_ENABLED=true on the server"


async def test_set_up_refuses_such_a_server_before_it_changes_anything() -> None:
    off = server_with(triggers=True, late_runs=True)
    with (
        served(off) as address,
        temporary_settings({PREFECT_API_URL: f"{address}/api"}),
        pytest.raises(CommandFailed, match="would lose runs: a run that no worker takes") as refused,
    ):
        await prepare_server(None, 45)
    assert refused.value.code == ExitCode.NOT_RUNNING


@pytest.mark.parametrize(
    ("paused", "active", "off"),
    [
        (False, True, []),
        (False, False, ["drift"]),
        (True, True, ["drift"]),
    ],
)
def test_a_schedule_that_is_off_there_and_on_in_the_file_is_named(
    paused: bool, active: bool, off: list[str]
) -> None:
    schedules = [SimpleNamespace(slug="drift", active=active), SimpleNamespace(slug="other", active=False)]
    live: Any = SimpleNamespace(paused=paused, schedules=schedules)
    assert switched_off(WANTED, live) == off
