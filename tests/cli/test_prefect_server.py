"""A Prefect server that a run can't reach is refused in one line that says what to set."""

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from prefect.settings import PREFECT_API_SSL_CERT_FILE, PREFECT_API_URL, temporary_settings

from aks_postgres.exit_codes import CommandFailed, ExitCode
from aks_postgres.runs.prefect_server import require_prefect_server
from azure_sandbox.core.certificates import Authority


class Health(BaseHTTPRequestHandler):
    """Answers as Prefect's API does below /api, and as its UI everywhere else."""

    def do_GET(self) -> None:
        is_api = self.path == "/api/health"
        body = b"true" if is_api else b"<!DOCTYPE html><html></html>"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


class Locked(Health):
    """Wants to know who asks."""

    def do_GET(self) -> None:
        self.send_response(401)
        self.send_header("Content-Length", "0")
        self.end_headers()


@contextmanager
def served(handler: type[BaseHTTPRequestHandler], tls: ssl.SSLContext | None = None) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"{'https' if tls else 'http'}://localhost:{server.server_port}"
        server.shutdown()


def found(url: str, authority: Path | None = None) -> str | None:
    trusted: dict[Any, Any] = {} if authority is None else {PREFECT_API_SSL_CERT_FILE: str(authority)}
    with temporary_settings({PREFECT_API_URL: url, **trusted}):
        return require_prefect_server()


def refused(url: str) -> CommandFailed:
    with pytest.raises(CommandFailed) as error:
        found(url)
    assert len(str(error.value).splitlines()) == 1
    assert url in str(error.value)
    return error.value


def test_a_server_that_answers_is_taken() -> None:
    with served(Health) as address:
        assert found(f"{address}/api") == f"{address}/api"


def test_an_address_without_api_is_told_from_a_server() -> None:
    with served(Health) as address:
        error = refused(address)
    assert error.code == ExitCode.BAD_INPUT
    assert "with /api at its end" in str(error)


def test_who_asks_is_for_prefects_client_to_say() -> None:
    with served(Locked) as address:
        assert found(f"{address}/api") == f"{address}/api"


def test_a_certificate_of_ones_own_authority_is_trusted_as_prefects_client_trusts_it(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    with served(Health, authority.server_context()) as address:
        error = refused(f"{address}/api")
        assert error.code == ExitCode.NOT_RUNNING
        assert "PREFECT_API_SSL_CERT_FILE" in str(error)
        file = tmp_path / "authority.pem"
        file.write_bytes(authority.ca_pem)
        assert found(f"{address}/api", file) == f"{address}/api"


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:{port}/api", "http://no-such-host.invalid/api", "http://:x/api", "localhost/api"],
)
def test_an_address_where_nobody_answers_is_named_with_the_variable(url: str) -> None:
    with HTTPServer(("127.0.0.1", 0), Health) as closed:
        port = closed.server_port
    error = refused(url.format(port=port))
    assert error.code == ExitCode.NOT_RUNNING
    assert "prefect server start" in str(error)
    assert "PREFECT_API_URL" in str(error)
