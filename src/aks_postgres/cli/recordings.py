"""The command that compares two recordings made with --record."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from aks_postgres.cli.environment import Json
from aks_postgres.exit_codes import CommandFailed, ExitCode

app = typer.Typer()


@app.command()
def compare_recording(
    recorded: Annotated[Path, typer.Argument(metavar="FOLDER", help="A recording made on Azure.")],
    other: Annotated[
        Path, typer.Argument(metavar="SANDBOX_FOLDER", help="The same commands, recorded on a sandbox.")
    ],
    as_json: Json = False,
) -> None:
    """Say, operation by operation, where a sandbox answers otherwise than Azure did: status, shape, header or order.

    Exit code 0 says that nothing differs, 1 that something does.

    Example: aks-postgres compare-recording from-azure from-a-sandbox
    """
    from aks_postgres.reports.recordings import differences, read_recording

    try:
        theirs, ours = read_recording(recorded), read_recording(other)
    except (OSError, ValueError) as error:
        raise CommandFailed(f"compare-recording: {error}", ExitCode.BAD_INPUT) from None
    found = differences(theirs, ours, ("Azure", "the sandbox"))
    if as_json:
        print(json.dumps([vars(difference) for difference in found], indent=2))
    else:
        before = ""
        for one in found:
            if one.operation != before:
                print(one.operation)
            before = one.operation
            print(f"  {one}")
        print(
            f"{len(found)} differences in {len({difference.operation for difference in found})} operations."
        )
    if found:
        raise typer.Exit(1)
