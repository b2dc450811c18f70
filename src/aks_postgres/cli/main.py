"""`aks-postgres`: the command and its errors. Imports are late, so that `--help` is quick."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from aks_postgres.cli import (
    demo,
    deployments,
    doctor,
    environment,
    listing,
    recordings,
    removal,
    sandbox,
    spec_text,
)
from aks_postgres.cli.hints import with_commands
from aks_postgres.exit_codes import ExitCode
from aks_postgres.foreign_text import shown
from aks_postgres.runs.failures import failure_of

app = typer.Typer(
    name="aks-postgres",
    help="Highly available PostgreSQL environments on AKS: provision them, look at them, or try it all on a "
    "local Azure with --sandbox.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for part in (environment, removal, listing, doctor, recordings, spec_text):
    app.registered_commands += part.app.registered_commands
app.add_typer(deployments.app, name="deployments")
app.add_typer(sandbox.app, name="sandbox")
app.add_typer(demo.app, name="demo")


_MEANS = {"--json=all": ("--json", "--all")}


def _print_version(wanted: bool) -> None:
    if wanted:
        version()
        raise typer.Exit


@app.command()
def version() -> None:
    """Print the version."""
    from importlib.metadata import version as version_of

    print(f"aks-postgres {version_of('aks-postgres')}")


@app.callback()
def _options(
    show_version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
    record: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="With any command: write every exchange with Azure there, redacted (docs/how-to/send-a-recording.md).",
        ),
    ] = None,
) -> None:
    if record is not None:
        os.environ["AKS_POSTGRES_RECORD"] = str(record.absolute())


def main() -> None:
    """Run the command; an error meant for people is one message and an exit code, a bug its traceback."""
    _end_as_by_ctrl_c()
    try:
        # An option of Typer's either takes a value or doesn't; --json may.
        app(record_first([part for given in sys.argv[1:] for part in _MEANS.get(given, (given,))]))
    except (KeyboardInterrupt, asyncio.CancelledError):
        _say_interrupted()
    except SystemExit as end:
        # Typer's own end of a KeyboardInterrupt, which says nothing.
        if end.code == ExitCode.INTERRUPTED:
            _say_interrupted()
        raise
    except Exception as error:
        failure = failure_of(error)
        if failure is None:
            raise
        print(with_commands(shown(f"aks-postgres: {failure}")), file=sys.stderr)
        sys.exit(failure.code)


def record_first(given: list[str]) -> list[str]:
    """The arguments with --record in front, where the option of every command is: a person gives it anywhere."""
    for number, argument in enumerate(given):
        if argument == "--":
            break
        if argument == "--record" or argument.startswith("--record="):
            length = 2 if argument == "--record" else 1
            return given[number : number + length] + given[:number] + given[number + length :]
    return given


def _say_interrupted() -> NoReturn:
    print(f"aks-postgres: {environment.INTERRUPTED}", file=sys.stderr)
    sys.exit(ExitCode.INTERRUPTED)


def _end_as_by_ctrl_c() -> None:
    """Let SIGTERM and SIGHUP, a closed terminal's, end a command in order; under nohup the latter stays ignored."""
    terminals = [number for number in (1, 2) if os.isatty(number)]

    def interrupt(number: int, _frame: object) -> None:
        if number == signal.SIGHUP:
            # What would still be said there ends in an error.
            nowhere = os.open(os.devnull, os.O_WRONLY)
            for terminal in terminals:
                os.dup2(nowhere, terminal)
            os.close(nowhere)
        signal.raise_signal(signal.SIGINT)

    for wanted in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(wanted) is not signal.SIG_IGN:
            signal.signal(wanted, interrupt)


if __name__ == "__main__":
    main()
