"""`python -m aks_postgres.deploy`: prefect.yaml from the regions file, and what the Prefect server needs beside it.

Run it in the folder that holds prefect.yaml. docs/deployments.md has the whole way.
"""

from __future__ import annotations

import asyncio
import difflib
import sys
from pathlib import Path
from typing import Annotated

import typer

from aks_postgres.cli.exit_codes import CommandFailed, ExitCode, failure_of

PREFECT_YAML = Path("prefect.yaml")
REGIONS = Path("deployments/regions.yaml")
_COMMAND = "python -m aks_postgres.deploy"

app = typer.Typer(
    name=_COMMAND,
    help="Make prefect.yaml of deployments/regions.yaml.",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def render_file(
    context: typer.Context,
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit 1 if prefect.yaml isn't what it should be.")
    ] = False,
    regions: Annotated[Path, typer.Option(metavar="FILE", help="The regions file.")] = REGIONS,
    output: Annotated[Path, typer.Option(metavar="FILE", help="What is written.")] = PREFECT_YAML,
) -> None:
    """Make prefect.yaml of deployments/regions.yaml."""
    if context.invoked_subcommand:
        return
    from aks_postgres.deploy.regions import read_regions
    from aks_postgres.deploy.rendering import render

    wanted = render(read_regions(regions))
    live = output.read_text(encoding="utf-8") if output.exists() else ""
    if live == wanted:
        print(f"{output} is what {regions} says.")
    elif check:
        difference = difflib.unified_diff(
            live.splitlines(), wanted.splitlines(), str(output), "wanted", lineterm=""
        )
        print("\n".join(difference))
        raise CommandFailed(f"{output} is stale: run `{_COMMAND}` and commit what it writes")
    else:
        output.write_text(wanted, encoding="utf-8")
        print(f"{output} written. Register it with: prefect --no-prompt deploy --all")


@app.command()
def setup(
    notify: Annotated[
        str | None,
        typer.Option(
            metavar="TYPE/NAME",
            help="Notification block that tells people, such as slack-webhook/on-call. Without it automations keep "
            "the one they have; without any, they only leave an event in the UI.",
        ),
    ] = None,
    slow_after_min: Annotated[
        int,
        typer.Option(
            min=1,
            help="Minutes after which a run of provision or tear_down is slow; of rebuild, twice as many.",
        ),
    ] = 45,
    prune: Annotated[
        bool, typer.Option("--prune", help="Delete deployments of ours that prefect.yaml no longer has.")
    ] = False,
) -> None:
    """Prepare the Prefect server: work pool and automations, by name; again, only what differs."""
    from prefect.exceptions import PrefectHTTPStatusError

    from aks_postgres.cli.prefect_server import require_prefect_server

    server = require_prefect_server()
    if server is None:
        raise CommandFailed(
            "which server? Set PREFECT_API_URL, such as http://127.0.0.1:4200/api", ExitCode.BAD_INPUT
        )
    try:
        asyncio.run(prepare_server(notify, slow_after_min, prune))
    except PrefectHTTPStatusError as error:
        if error.response.status_code not in (401, 403):
            raise
        raise CommandFailed(
            f"the Prefect server at {server} wants to know who asks: set PREFECT_API_AUTH_STRING (user:password), or "
            "PREFECT_API_KEY for Prefect Cloud",
            ExitCode.CREDENTIALS,
        ) from None


async def prepare_server(notify: str | None, slow_after_min: int, prune: bool) -> None:
    """Work pool, automations, and a word on deployments that prefect.yaml no longer has."""
    import yaml
    from prefect import get_client

    from aks_postgres.deploy.automations import apply_automations, notification_block
    from aks_postgres.deploy.registered import ensure_work_pool, left_over
    from aks_postgres.deploy.rendering import deployment_names

    async with get_client() as client:
        block = await notification_block(client, notify) if notify else None
        pool, change = await ensure_work_pool(client)
        print(f"{change:9}  work pool {pool.name} ({pool.type})")
        for name, change in await apply_automations(client, block, slow_after_min):
            print(f"{change:9}  automation {name}")
        names = set(deployment_names(yaml.safe_load(PREFECT_YAML.read_text(encoding="utf-8"))))
        for name, deployment in (await left_over(client, names)).items():
            if prune:
                await client.delete_deployment(deployment.id)
                print(f"deleted    deployment {name}")
            else:
                print(f"left over  deployment {name}, which {PREFECT_YAML} no longer has; --prune deletes it")


def main() -> None:
    """Run the command; an error meant for people is one message and an exit code, a bug its traceback."""
    try:
        app()
    except Exception as error:
        failure = failure_of(error)
        if failure is None:
            raise
        print(f"{_COMMAND}: {failure}", file=sys.stderr)
        sys.exit(failure.code)


if __name__ == "__main__":
    main()
