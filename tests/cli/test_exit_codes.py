"""Errors that are meant for people, as they come out of the libraries."""

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from prefect import get_client
from prefect.settings import PREFECT_API_URL, temporary_settings

from aks_postgres.exit_codes import ExitCode
from aks_postgres.runs.failures import failure_of


class Unauthorized(BaseHTTPRequestHandler):
    """A Prefect server that wants a password."""

    def do_GET(self) -> None:
        self.send_response(401)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


async def test_a_prefect_server_that_wants_a_password_is_one_message() -> None:
    with HTTPServer(("127.0.0.1", 0), Unauthorized) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            with temporary_settings({PREFECT_API_URL: f"http://127.0.0.1:{server.server_port}/api"}):
                async with get_client() as client:
                    with pytest.raises(Exception, match="401") as raised:
                        await client.request("GET", "/flows/x")
        finally:
            server.shutdown()
            thread.join()
    failure = failure_of(raised.value)
    assert failure is not None
    assert failure.code == ExitCode.CREDENTIALS
    assert "PREFECT_API_AUTH_STRING" in str(failure)
