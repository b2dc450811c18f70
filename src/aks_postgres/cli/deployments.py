"""`aks-postgres deployments`: where and when the flows run, from one regions file, on the Prefect server.

It works in any folder. In a clone, `render` also keeps prefect.yaml, for Prefect's own `prefect deploy --all`.
"""

from __future__ import annotations

import asyncio
import difflib
import os
import subprocess
import sys
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aks_postgres.cli.recordings import nothing_to_record
from aks_postgres.cli.spec_options import State, UseSandbox, state_folder, with_stand_ins
from aks_postgres.commands import SANDBOX_STATE, pasted
from aks_postgres.deploy.work_pools import DATA, POOLS, WORK_POOL, Identity, PoolType
from aks_postgres.exit_codes import CommandFailed, ExitCode
from aks_postgres.files.given_files import FileRefused, read_given, writing

if TYPE_CHECKING:
    from aks_postgres.deploy.regions import Region

PREFECT_YAML = Path("prefect.yaml")
# Of a clone, and of a folder of one's own.
REGIONS_FILES = (Path("deployments/regions.yaml"), Path("regions.yaml"))
FOLDER = Path("deployments")
ENV_FILE = FOLDER / ".env"
# Events reach a server's automations within a second or two; a busy one takes longer.
_SENT_WITHIN_S = 60.0
# Prefect's own default.
_HEALTH_PORT = 8080

app = typer.Typer(
    help="Where and when the flows run: work pools, deployments, schedules, workers.", no_args_is_help=True
)


@app.callback()
def _only_a_worker_records(context: typer.Context) -> None:
    if context.find_root().params.get("record") is not None and context.invoked_subcommand != "worker":
        raise nothing_to_record(context)


Regions = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="The regions file; by default deployments/regions.yaml or regions.yaml."
    ),
]
OnePool = Annotated[
    bool,
    typer.Option(
        "--one-pool", help="Every run in one work pool, so with one identity on Azure, instead of three."
    ),
]
Notify = Annotated[
    str | None,
    typer.Option(
        metavar="TYPE/NAME",
        help="Notification block that tells people, such as slack-webhook/on-call. Without it automations keep "
        "the one they have; without any, they only leave an event in the UI.",
    ),
]
SlowAfter = Annotated[
    int,
    typer.Option(
        min=1, help="Minutes after which a run of provision or tear_down is slow; of rebuild, twice as many."
    ),
]
Type = Annotated[
    PoolType | None,
    typer.Option(
        "--type",
        help="Of the work pools: with it, pools that are there get our base job template again. Without it they "
        "stay as they are, and new ones are of type process.",
    ),
]


@app.command()
def init(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What is written.")] = REGIONS_FILES[1],
) -> None:
    """Write a regions file with its explanation, to be edited."""
    text = (DATA / "regions.yaml").read_text(encoding="utf-8")
    try:
        with writing(file), file.open("x", encoding="utf-8") as new:
            new.write(text)
    except FileExistsError:
        raise CommandFailed(
            f"{file} is there already; edit it, or name another", ExitCode.BAD_INPUT
        ) from None
    print(
        f"{file} written. Edit it, then register what it says: {pasted('deployments', 'apply', '--regions', str(file))}"
    )


@app.command()
def render(
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit 1 if the file isn't what it should be.")
    ] = False,
    regions: Regions = None,
    output: Annotated[Path, typer.Option(metavar="FILE", help="What is written.")] = PREFECT_YAML,
    one_pool: OnePool = False,
) -> None:
    """Make prefect.yaml of the regions file."""
    from aks_postgres.deploy.regions import read_regions
    from aks_postgres.deploy.rendering import document, text_of

    file = _regions_file(regions)
    wanted = text_of(document(read_regions(file), one_pool=one_pool))
    live = _live(output)
    if live == wanted:
        print(f"{output} is what {file} says.")
    elif check:
        difference = difflib.unified_diff(
            live.splitlines(), wanted.splitlines(), str(output), "wanted", lineterm=""
        )
        print("\n".join(difference))
        raise CommandFailed(
            f"{output} is stale: run `aks-postgres deployments render` and commit what it writes"
        )
    else:
        with writing(output):
            output.write_text(wanted, encoding="utf-8")
        print(f"{output} written. Register it with: {pasted('deployments', 'apply')}")


def _live(output: Path) -> str:
    """Return what is written there now.

    Raises:
        CommandFailed: it is no file, and isn't written over.
    """
    from aks_postgres.yaml_files import LARGEST_BYTES

    if not output.exists():
        return ""
    try:
        return read_given(output, LARGEST_BYTES).decode("utf-8", "replace")
    except FileRefused as refused:
        raise CommandFailed(f"--output: {refused}", ExitCode.BAD_INPUT) from None


@app.command()
def setup(
    notify: Notify = None, slow_after_min: SlowAfter = 45, pool_type: Type = None, one_pool: OnePool = False
) -> None:
    """Prepare the Prefect server: work pools and automations, by name; again, only what differs."""
    _require_server()
    _on_the_server(prepare_server(notify, slow_after_min, pool_type, one_pool))


@app.command()
def apply(
    regions: Regions = None,
    notify: Notify = None,
    slow_after_min: SlowAfter = 45,
    pool_type: Type = None,
    one_pool: OnePool = False,
    sandbox: UseSandbox = False,
    state: State = None,
) -> None:
    """Register what the regions file says, after `setup`. What it no longer says stays: see `check` and `prune`.

    With --sandbox the specs get the sandbox's stand-in for the operator's manifest.
    """
    from aks_postgres.deploy.forms import with_forms
    from aks_postgres.deploy.rendering import document, text_of

    wanted = document(_regions(regions, sandbox, state), one_pool=one_pool)
    server = _require_server()
    _on_the_server(prepare_server(notify, slow_after_min, pool_type, one_pool))
    before = _on_the_server(_compared(wanted))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / PREFECT_YAML.name
        file.write_text(text_of(wanted), encoding="utf-8")
        command = [
            sys.executable,
            "-P",
            "-m",
            "prefect",
            "--no-prompt",
            "deploy",
            "--all",
            "--prefect-file",
            str(file),
        ]
        done = subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, "PREFECT_API_URL": server},
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        raise CommandFailed(
            f"Prefect didn't take the deployments: {(done.stdout + done.stderr)[-2000:].strip()}"
        )
    _on_the_server(_set_forms(with_forms(wanted)))
    words = {"missing": "created", "differs": "updated"}
    _print_deployments(
        {name: what and (words.get(what[0], what[0]), what[1]) for name, what in before.items()}
    )


@app.command("test-notification")
def test_notification() -> None:
    """Let the server send a test notification with the block of `apply --notify`; exit 1 if it couldn't."""
    _require_server()
    print(f"Sent with {_on_the_server(_send_test())}.")


async def _send_test() -> str:
    from prefect import get_client

    from aks_postgres.deploy.automations import send_test_notification

    async with get_client() as client:
        return await send_test_notification(client, _SENT_WITHIN_S)


@app.command()
def check(
    regions: Regions = None, one_pool: OnePool = False, sandbox: UseSandbox = False, state: State = None
) -> None:
    """Compare the server's deployments with the regions file; exit 1 if they differ. Writes nothing."""
    from aks_postgres.deploy.rendering import document

    wanted = document(_regions(regions, sandbox, state), one_pool=one_pool)
    _require_server()
    found = _on_the_server(_compared(wanted))
    _print_deployments(found)
    if any(found.values()):
        raise CommandFailed(
            "the server isn't what the regions file says: `aks-postgres deployments apply`, and "
            "`aks-postgres deployments prune` for what is left over"
        )


@app.command()
def prune(regions: Regions = None) -> None:
    """Delete deployments of ours, with their schedules, that the regions file no longer has."""
    from aks_postgres.deploy.regions import read_regions
    from aks_postgres.deploy.rendering import by_name, document

    wanted = by_name(document(read_regions(_regions_file(regions)))["deployments"])
    _require_server()
    _on_the_server(delete_left_over(set(wanted)))


def _regions(given: Path | None, sandbox: bool, state: Path | None) -> list[Region]:
    """Return what the regions file has; for a sandbox with its stand-ins."""
    from aks_postgres.cli.sandbox_client import running_sandbox
    from aks_postgres.deploy.regions import read_regions

    regions = read_regions(_regions_file(given))
    if not (sandbox or state):
        return regions
    found = running_sandbox(state_folder(state))
    os.environ[SANDBOX_STATE] = str(found.state)
    return [region.model_copy(update={"spec": with_stand_ins(region.spec, found)}) for region in regions]


def _regions_file(given: Path | None) -> Path:
    if given:
        return given
    for file in REGIONS_FILES:
        if file.exists():
            return file
    raise CommandFailed(
        f"there is no {' and no '.join(map(str, REGIONS_FILES))}: name the regions file with --regions, or write one "
        f"with `aks-postgres deployments init`",
        ExitCode.BAD_INPUT,
    )


def _require_server() -> str:
    from aks_postgres.runs.prefect_server import require_prefect_server

    server = require_prefect_server()
    if server is None:
        raise CommandFailed(
            "which server? Set PREFECT_API_URL, such as http://127.0.0.1:4200/api", ExitCode.BAD_INPUT
        )
    return server


def _on_the_server(work: Coroutine[Any, Any, Any]) -> Any:
    from prefect.exceptions import PrefectHTTPStatusError

    try:
        return asyncio.run(work)
    except PrefectHTTPStatusError as error:
        if error.response.status_code != 401:
            raise
        raise CommandFailed(
            f"the Prefect server at {_require_server()} wants to know who asks: set PREFECT_API_AUTH_STRING "
            "(user:password), or PREFECT_API_KEY for Prefect Cloud",
            ExitCode.CREDENTIALS,
        ) from None


async def prepare_server(
    notify: str | None, slow_after_min: int, pool_type: PoolType | None = None, one_pool: bool = False
) -> None:
    """Work pools and automations, each with a line of what became of it."""
    from prefect import get_client

    from aks_postgres.deploy.automations import apply_automations, notification_block
    from aks_postgres.deploy.registered import ensure_work_pool, missing_services
    from aks_postgres.runs.fleet_database import database_of_server

    async with get_client() as client:
        if missing := await missing_services(client):
            raise CommandFailed(
                f"this Prefect server would lose runs: {'; '.join(missing)}", ExitCode.NOT_RUNNING
            )
        block = await notification_block(client, notify) if notify else None
        for identity, name in POOLS.items():
            if one_pool and name != WORK_POOL:
                continue
            pool, change = await ensure_work_pool(client, identity, pool_type)
            print(f"{change:9}  work pool {pool.name} ({pool.type})")
        database = await database_of_server()
        on_sqlite = database == "SQLite"
        changes = await apply_automations(client, block, slow_after_min, loses_events=on_sqlite)
        for name, change in changes:
            print(f"{change:9}  automation {name}")
        if database == "unknown" and any(change == "created" for _, change in changes):
            print(
                "The server doesn't say what database it has. If it is SQLite, switch the automation 'a run died' off "
                "in the UI: SQLite loses events, and a run that waits for approval would seem dead.",
                file=sys.stderr,
            )


async def _compared(wanted: dict[str, Any]) -> dict[str, tuple[str, str] | None]:
    """Return how the server's deployments and their forms differ from what prefect.yaml would have, by name."""
    from prefect import get_client

    from aks_postgres.deploy.forms import with_forms
    from aks_postgres.deploy.registered import compare
    from aks_postgres.deploy.rendering import by_name

    async with get_client() as client:
        return await compare(client, by_name(with_forms(wanted)["deployments"]))


async def _set_forms(wanted: dict[str, Any]) -> None:
    from prefect import get_client

    from aks_postgres.deploy.registered import set_forms
    from aks_postgres.deploy.rendering import by_name

    async with get_client() as client:
        await set_forms(client, by_name(wanted["deployments"]))


def _print_deployments(found: dict[str, tuple[str, str] | None]) -> None:
    for name, what in found.items():
        word, more = what or ("unchanged", "")
        print(f"{word:9}  deployment {name}{more}")


async def delete_left_over(names: set[str]) -> None:
    """Delete the deployments that aren't among these, each with a line."""
    from prefect import get_client

    from aks_postgres.deploy.registered import left_over

    async with get_client() as client:
        for name, deployment in (await left_over(client, names)).items():
            await client.delete_deployment(deployment.id)
            print(f"deleted    deployment {name}")


@app.command()
def passwords(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What is written, mode 0600.")] = ENV_FILE,
) -> None:
    """Write the file of the Compose project's passwords, drawn at random; one that is there stays."""
    from aks_postgres.deploy.passwords import write_passwords

    write_passwords(file)
    print(
        f"{file} written, for its owner only. The UI's user and password are in PREFECT_SERVER_API_AUTH_STRING."
    )


@app.command()
def serve() -> None:
    """Start the Prefect server, with a password or not at all."""
    from aks_postgres.deploy.passwords import require_password

    require_password(os.environ)
    os.execv(sys.executable, [sys.executable, "-P", "-m", "prefect", "server", "start"])


@app.command()
def worker(
    identity: Annotated[
        Identity, typer.Argument(help="Whose work pool: that of plans, of what writes, or of what deletes.")
    ] = "write",
) -> None:
    """Start a worker of one of the work pools, whose runs send a sign of life as often as the automations expect."""
    from aks_postgres.deploy.rendering import HEARTBEAT_S

    environment = {
        # Where it says how it is: for this machine only, and a port each, as one machine may have all three.
        "PREFECT_WORKER_WEBSERVER_HOST": "127.0.0.1",
        "PREFECT_WORKER_WEBSERVER_PORT": str(_HEALTH_PORT + list(POOLS).index(identity)),
        **os.environ,
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(HEARTBEAT_S),
    }
    command = [
        sys.executable,
        "-P",
        "-m",
        "prefect",
        "worker",
        "start",
        "--pool",
        POOLS[identity],
        "--with-healthcheck",
    ]
    os.execve(sys.executable, command, environment)


@app.command()
def role(
    identity: Annotated[
        Identity, typer.Argument(help="Whose role on Azure: of plans, of what writes, or of what deletes.")
    ],
    subscription: Annotated[
        str, typer.Option(metavar="ID", envvar="AZURE_SUBSCRIPTION_ID", help="Where it can be assigned.")
    ] = "",
    condition: Annotated[
        bool, typer.Option("--condition", help="Print the condition to assign it with, instead.")
    ] = False,
) -> None:
    """Print an identity's custom role for Azure, as `az role definition create` takes it."""
    import json

    if not condition and not subscription:
        raise CommandFailed("of which subscription? Give --subscription ID", ExitCode.BAD_INPUT)
    from aks_postgres.deploy import azure_roles

    if condition:
        print(azure_roles.condition())
    else:
        print(json.dumps(azure_roles.role_definition(identity, subscription), indent=2))


@app.command()
def pin(
    ours: Annotated[
        str | None,
        typer.Option(
            metavar="IMAGE",
            help="Your image as you pushed it, such as myregistry.azurecr.io/aks-postgres:0.1.0; with @sha256:... "
            "where the registry asks who you are.",
        ),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit 1 if a tag has another digest by now.")
    ] = False,
    folder: Annotated[Path, typer.Option(metavar="FOLDER", help="Of images.yaml and the files.")] = FOLDER,
) -> None:
    """Ask the registries what the images' tags are, and put their digests into every file that names them."""
    from aks_postgres.deploy.images import Image, changes, read_images, resolve, write_images

    listed = read_images(folder / "images.yaml")
    wanted = listed | ({"ours": Image.of(ours)} if ours else {})
    wanted = asyncio.run(resolve(wanted))
    for name, image in wanted.items():
        was = "" if image == listed[name] else f" (was {listed[name].reference})"
        print(f"{'changed' if was else 'unchanged':9}  {image.reference}{was}")
    files = changes(folder, wanted)
    if check:
        if wanted != listed or files:
            raise CommandFailed(
                "images aren't pinned, or tags were moved: run `aks-postgres deployments pin`, and look at what it "
                "changes"
            )
        return
    write_images(folder / "images.yaml", wanted)
    for file, text in files.items():
        file.write_text(text, encoding="utf-8")
        print(f"written    {file}")
    if not wanted["ours"].digest:
        print("not pinned yet: your own image. Build and push it, then give it with --ours")
