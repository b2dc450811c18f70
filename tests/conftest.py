"""The sandbox that every test drives over HTTPS, our side pointed at it, and a Prefect API for flows."""

import fcntl
import gc
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any
from unittest import mock

import aiohttp
import hypothesis
import pytest
import pytest_asyncio
from yarl import URL

# The same examples each time, so that a change is judged by itself; `make test-thorough` draws more of them anew.
hypothesis.settings.register_profile("repeatable", derandomize=True, max_examples=60)
hypothesis.settings.register_profile("drawn", max_examples=1000)
hypothesis.settings.load_profile("repeatable")

# Read when `tasks` is imported (the delays of Prefect's retries), so it comes before any import of ours.
SPEED = 1000
os.environ["AKS_POSTGRES_TIME_SCALE"] = str(SPEED)
# No real PostgreSQL, whatever is installed, but for those that ask for it.
os.environ["AZURE_SANDBOX_POSTGRES"] = "off"
os.environ["PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW"] = "ignore"
# Sending logs is two fifths of what a recorded run costs; tests that read them switch it on.
os.environ.setdefault("PREFECT_LOGGING_TO_API_ENABLED", "false")
os.environ["PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE"] = "prefect.server.concurrency.lease_storage.filesystem"
os.environ["PREFECT_SERVER_ANALYTICS_ENABLED"] = "false"

from aks_postgres.reports.journal import Journal
from aks_postgres.spec.environment import EnvironmentSpec
from azure_sandbox.client import SandboxProcess

from . import leftovers, side_by_side

Hook = Callable[[str, str], Awaitable[None]]

# A shell lets Ctrl-C be ignored by what a script starts in the background, and so by all that it starts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
# Processes that run tests side by side are their parent's, and end with it.
if "PYTEST_XDIST_WORKER" not in os.environ:
    leftovers.watch()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest."""
    side_by_side.longest_first(items)


def pytest_collection_finish() -> None:
    """Have the garbage collector pass over what was imported, and look at all of the rest seldom."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Share tests out by file, as far as they don't share something else."""
    return side_by_side.LongestFirst(config, log) if config.getvalue("dist") == "loadfile" else None


def point_at(sandbox: SandboxProcess, patch: pytest.MonkeyPatch) -> None:
    """Make our side take this sandbox for Azure."""
    found = sandbox.description
    for name, value in {
        "AZURE_TENANT_ID": found["tenant_id"],
        "AZURE_CLIENT_ID": found["client_id"],
        "AZURE_CLIENT_SECRET": found["client_secret"],
        "AZURE_SUBSCRIPTION_ID": found["subscription_id"],
        "AZURE_AUTHORITY_HOST": found["endpoint"],
        "AKS_POSTGRES_ARM_ENDPOINT": found["endpoint"],
        # The sandbox's CA alone: each client reads the whole file, and the public ones are another 25 ms of it.
        "SSL_CERT_FILE": found["ca_file"],
        "AKS_POSTGRES_EGRESS_URL": found["egress_url"],
    }.items():
        patch.setenv(name, value)


@pytest.fixture
def azure(sandbox: SandboxProcess, monkeypatch: pytest.MonkeyPatch) -> SandboxProcess:
    """An empty sandbox that our side takes for Azure."""
    point_at(sandbox, monkeypatch)
    return sandbox


@pytest.fixture
def spec(azure: SandboxProcess) -> EnvironmentSpec:
    """The default environment, with the sandbox's stand-in for the operator's manifest."""
    return spec_for(azure)


def spec_for(azure: SandboxProcess, **fields: Any) -> EnvironmentSpec:
    """A spec for the sandbox with these fields."""
    operator = {
        "manifest_url": azure.description["operator_manifest_url"],
        "manifest_sha256": azure.description["operator_manifest_sha256"],
    }
    return EnvironmentSpec.model_validate({"operator": operator, **fields})


class NoLock:
    """In the place of the lock, for tests of a step alone: everything may be written."""

    async def admit(self, _write: Any) -> str:
        return "a test"

    def left_s(self, _write: Any) -> float:
        return 60.0

    def listen(self, _callback: Any) -> None: ...

    def unlisten(self, _callback: Any) -> None: ...

    async def let_go(self, _account: str) -> None: ...


def without_lock() -> None:
    """Let this run write without a lock."""
    from aks_postgres.arm.client import current_azure

    current_azure().gate.fence = NoLock()


@pytest_asyncio.fixture
async def journal(azure: SandboxProcess, spec: EnvironmentSpec) -> AsyncIterator[Journal]:
    """An open connection to the sandbox, as a flow opens it, and its journal."""
    from aks_postgres.runs.session import run_session

    async with run_session(spec) as opened:
        without_lock()
        yield opened.journal


@pytest.fixture(scope="session")
def prefect_api(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A Prefect API and database for this session.

    What `prefect_test_harness` gives, without loading Prefect's server into this process as well: two seconds each.
    """
    from prefect import context
    from prefect.events.clients import NullEventsClient
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogWorker
    from prefect.settings import PREFECT_API_URL, temporary_settings

    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    if cache := getattr(pytestconfig, "cache", None):
        shared = cache.mkdir("prefect")
    database = tmp_path_factory.mktemp("prefect") / "prefect.db"
    shutil.copy(_migrated_database(shared), database)
    with ExitStack() as stack:
        url = stack.enter_context(_prefect_server(database))
        stack.enter_context(temporary_settings({PREFECT_API_URL: url}))
        # For contexts that were copied before, such as that of an event loop.
        stack.enter_context(context._temporary_global_settings_context(context.get_settings_context()))
        # Prefect records task runs from events, and that is two fifths of what a run costs.
        EventsWorker.set_client_override(NullEventsClient)
        stack.callback(EventsWorker.set_client_override, None)
        yield
        # While there is still somebody to send them to.
        APILogWorker.drain_all()
        EventsWorker.drain_all()


@contextmanager
def _prefect_server(database: Path) -> Iterator[str]:
    """A Prefect server as for one command, on this database; the URL of its API."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}/api"
    variables = {
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{database}",
        "PREFECT_SERVER_UI_ENABLED": "false",
        # Of its services, only what records task runs.
        "PREFECT__SERVER_EPHEMERAL": "1",
        "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_ENABLED": "false",
        "PREFECT_SERVER_SERVICES_TRIGGERS_ENABLED": "false",
    }
    command = [sys.executable, "-m", "uvicorn", "--factory", "prefect.server.api.server:create_app"]
    options = ["--host", "127.0.0.1", "--port", str(port), "--log-level", "error", "--lifespan", "on"]
    with subprocess.Popen([*command, *options], env={**os.environ, **variables}) as server:
        try:
            deadline = time.monotonic() + 120
            while not _answers(f"{url}/health"):
                assert server.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.1)
            yield url
        finally:
            server.terminate()
            try:
                server.wait(5)
            except subprocess.TimeoutExpired:
                server.kill()


def _answers(url: str) -> bool:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(url, timeout=10) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


@contextmanager
def task_runs_recorded() -> Iterator[None]:
    """Let the Prefect API hear of task runs, for tests that read them."""
    from prefect.events.clients import NullEventsClient
    from prefect.events.worker import EventsWorker

    EventsWorker.set_client_override(None)
    try:
        yield
    finally:
        EventsWorker.set_client_override(NullEventsClient)


def _migrated_database(shared: Path) -> Path:
    """Prefect's empty database, which takes seconds to make: once for each of its versions."""
    database = shared / f"empty-{version('prefect')}.db"
    with (shared / "empty.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not database.exists():
            new = database.with_suffix(".new")
            subprocess.run(
                [sys.executable, "-m", "prefect", "server", "database", "upgrade", "-y"],
                env={**os.environ, "PREFECT_SERVER_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{new}"},
                check=True,
                capture_output=True,
            )
            new.rename(database)
    return database


@contextmanager
def each_request(before: Hook | None = None, after: Hook | None = None) -> Iterator[None]:
    """Call these with method and path around every request that leaves this process."""
    send = aiohttp.ClientSession._request

    async def hooked(self: aiohttp.ClientSession, method: str, url: Any, **options: Any) -> Any:
        path = URL(url).path
        if before:
            await before(method, path)
        answer = await send(self, method, url, **options)
        if after:
            await after(method, path)
        return answer

    with mock.patch.object(aiohttp.ClientSession, "_request", hooked):
        yield
