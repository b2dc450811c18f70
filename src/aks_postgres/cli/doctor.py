"""The command that says what would stop a run from here."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import typer

from aks_postgres.cli.environment import Json
from aks_postgres.cli.hints import with_commands
from aks_postgres.cli.spec_options import environment_command

if TYPE_CHECKING:
    from aks_postgres.reports.diagnosis import Diagnosis
    from aks_postgres.spec.environment import EnvironmentSpec

app = typer.Typer()
_COLUMNS = ("CHECK", "VERDICT", "FOUND", "NEXT STEP")


@environment_command(app)
def doctor(spec: EnvironmentSpec, as_json: Json = False) -> None:
    """Say what would stop a run from here, all at once, each with its next step; only reads.

    Credential, clock, proxy, TLS, Prefect server, lock, subscription, rights, providers, quota, versions and more.
    Reader rights are enough. Exit code 0 says that nothing would; another one says what has to be seen to first.

    Example: aks-postgres doctor --name cnpg --region canadacentral
    """
    from aks_postgres.runs.prefect_server import prepare_prefect

    prepare_prefect()
    from aks_postgres.flows._doctor import diagnose

    found = asyncio.run(diagnose(spec))
    if as_json:
        print(found.model_dump_json(indent=2))
    else:
        print_checks(found)
    if found.exit_code:
        raise typer.Exit(found.exit_code)


def print_checks(found: Diagnosis) -> None:
    """The table, wrapped on a terminal; a line a check in a pipe."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from aks_postgres.cli.columns import table, without_blanks

    rows = [
        (check.name, check.verdict, with_commands(check.found), with_commands(check.next_step))
        for check in found.checks
    ]
    console = Console(highlight=False)
    if not console.is_terminal:
        print("\n".join(table(_COLUMNS, rows)))
        return
    styles = {"stops a run": "bold red", "look": "yellow", "fine": "green", "not asked": "dim"}
    columns, filled = without_blanks(_COLUMNS, rows)
    shown = Table(*columns, box=None, pad_edge=False)
    for name, verdict, *texts in filled:
        shown.add_row(name, Text(verdict, style=styles[verdict]), *map(Text, texts))
    console.print(shown)
