"""`python -m azure_sandbox --state DIR`: run one sandbox in the foreground until it is told to stop."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import os
import signal
import socket
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import uvicorn

from azure_sandbox.core.certificates import PUBLIC_HOSTS, write_private
from azure_sandbox.core.scenarios import Scenario, find_or_read
from azure_sandbox.kubernetes import control_plane
from azure_sandbox.postgres import install
from azure_sandbox.postgres.host import remove_abandoned
from azure_sandbox.postgres.programs import (
    FOLDER,
    OFF,
    NoAccount,
    Programs,
    account,
    default_folder,
    found_in,
)
from azure_sandbox.server.app import App
from azure_sandbox.server.control import described_manifests
from azure_sandbox.server.instance import Sandbox
from azure_sandbox.server.proxy import Proxy


def main(arguments: list[str] | None = None) -> int:
    """Run the sandbox; the exit code is 2 when it can't start."""
    given = sys.argv[1:] if arguments is None else arguments
    if given[:1] == ["postgres"]:
        return install.main(given[1:])
    options = _parser().parse_args(arguments)
    try:
        scenarios = [find_or_read(name) for name in options.scenario]
    except ValueError as error:
        print(f"sandbox: {error}", file=sys.stderr)
        return 2
    if options.kubernetes == "real" and control_plane.assets() is None:
        print(f"sandbox: --kubernetes real: {control_plane.MISSING}", file=sys.stderr)
        return 2
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    folder: Path = options.state.absolute()
    # mkdir's `parents` would give these what the umask leaves.
    for part in (*reversed(folder.parents), folder):
        part.mkdir(mode=0o700, exist_ok=True)
    folder.chmod(0o700)
    control_plane.remove_abandoned(folder / control_plane.FOLDER)
    try:
        postgres = _postgres(options.postgres)
    except ValueError as error:
        print(f"sandbox: --postgres: {error}", file=sys.stderr)
        return 2
    try:
        listener = _listen(options.port)
    except OSError as error:
        print(f"sandbox: port {options.port} can't be used: {error.strerror}", file=sys.stderr)
        return 2
    sandbox = Sandbox(
        folder,
        speed=options.speed,
        seed=options.seed,
        kubernetes=options.kubernetes,
        persist=options.persist,
        postgres=postgres,
    )
    sandbox.endpoint = f"https://localhost:{listener.getsockname()[1]}"
    asyncio.run(_serve(sandbox, listener, scenarios))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="azure-sandbox", description="A stand-in Azure over HTTPS.")
    shown = f"azure-sandbox {metadata.version('azure-sandbox')}"
    parser.add_argument("--version", action="version", version=shown, help="print the version")
    parser.add_argument("--state", type=Path, required=True, help="folder for certificates and sandbox.json")
    parser.add_argument("--port", type=int, default=0, help="loopback port; 0 takes a free one")
    parser.add_argument("--speed", type=_positive, default=60.0, help="sandbox seconds per real second")
    parser.add_argument("--seed", type=int, default=1, help="of ids, durations and delays")
    parser.add_argument(
        "--kubernetes",
        choices=("emulated", "real"),
        default="emulated",
        help=f"real: an etcd and a kube-apiserver per cluster (up to 0.9 GB), from {control_plane.ASSETS}; "
        "they take real time, so let --speed be 30 or less",
    )
    parser.add_argument(
        "--postgres",
        default=os.environ.get(FOLDER, "auto"),
        metavar="auto|off|DIR",
        help=f"the PostgreSQL that Clusters get, as `azure-sandbox postgres install` made it; auto is {FOLDER}, or "
        "the install's own folder if it is there",
    )
    parser.add_argument(
        "--scenario",
        action="append",
        default=[],
        metavar="NAME|FILE",
        help="make something go wrong, until the first reset; may be repeated",
    )
    parser.add_argument(
        "--persist",
        action="store_true",
        help="keep the state in the folder between runs, but not what is in a real Kubernetes API",
    )
    return parser


def _postgres(wanted: str) -> Programs | None:
    """What Clusters get.

    Raises:
        ValueError: a folder without PostgreSQL, or nobody to run it as.
    """
    if wanted == OFF:
        return None
    folder = default_folder() if wanted == "auto" else Path(wanted)
    found = found_in(folder)
    if found is None:
        if wanted == "auto":
            return None
        raise ValueError(f"{wanted} has no PostgreSQL; `azure-sandbox postgres install --into {wanted}`")
    try:
        account()
    except NoAccount as error:
        if wanted == "auto":
            return None
        raise ValueError(str(error)) from None
    remove_abandoned()
    return found


def _positive(text: str) -> float:
    value = float(text)
    if not value > 0:
        raise argparse.ArgumentTypeError("must be above 0")
    return value


def _listen(port: int) -> socket.socket:
    # asyncio sets TCP_NODELAY only where the protocol is named: without it an answer waits 40 ms for an ACK.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
    except OSError:
        listener.close()
        raise
    listener.listen(1024)
    return listener


class _Server(uvicorn.Server):
    """uvicorn, with signals left to us: it would raise them again at the end."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals alone."""
        yield


async def _serve(sandbox: Sandbox, listener: socket.socket, scenarios: list[Scenario]) -> None:
    config = uvicorn.Config(
        App(sandbox),
        log_level="warning",
        access_log=False,
        lifespan="off",
        server_header=False,
        date_header=False,  # an answer's date is the sandbox's clock's
        timeout_graceful_shutdown=1,
        timeout_keep_alive=60,
        backlog=1024,
    )
    config.load()
    config.ssl = sandbox.certificates.server_context(("localhost", "127.0.0.1", *PUBLIC_HOSTS))
    server = _Server(config)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, lambda: setattr(server, "should_exit", True))
    sandbox.certificates.write_bundle(sandbox.folder / "ca-bundle.pem")
    sandbox.start()
    for scenario in scenarios:
        sandbox.scenarios.apply(scenario)
    proxy = Proxy(listener.getsockname()[1])
    await proxy.start()
    sandbox.proxy_url = proxy.url
    clock = asyncio.create_task(sandbox.clock.run())
    serving = asyncio.create_task(server.serve([listener]))
    description = sandbox.folder / "sandbox.json"
    try:
        while not server.started and not serving.done():
            await asyncio.sleep(0.005)
        write_private(
            description, json.dumps({**describe(sandbox), "proxy_url": proxy.url}, indent=2).encode() + b"\n"
        )
        await serving
    finally:
        description.unlink(missing_ok=True)
        clock.cancel()
        await proxy.stop()
        await sandbox.stop()


def describe(sandbox: Sandbox) -> dict[str, Any]:
    """What a client needs to reach the sandbox: the content of sandbox.json."""
    programs = sandbox.postgres.programs if sandbox.postgres is not None else None
    return {
        "pid": os.getpid(),
        "endpoint": sandbox.endpoint,
        "ca_file": str(sandbox.certificates.ca_file),
        "ca_bundle": str(sandbox.folder / "ca-bundle.pem"),
        "tenant_id": sandbox.tenant_id,
        "subscription_id": sandbox.subscription_id,
        "subscription_name": sandbox.subscription_name,
        "client_id": sandbox.client_id,
        "client_secret": sandbox.client_secret,
        "object_id": sandbox.object_id,
        "control_key": sandbox.control_key,
        "speed": sandbox.clock.speed,
        "egress_url": sandbox.endpoint + "/sandbox/egress",
        **described_manifests(sandbox.endpoint),
        "kubernetes": sandbox.kubernetes,
        "postgres": list(programs.versions) if programs else [],
        "psql": str(programs.psql or "") if programs else "",
    }


if __name__ == "__main__":
    sys.exit(main())
