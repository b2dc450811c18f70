"""`aks-postgres`: the command and its errors. Imports are late, so that `--help` is quick."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import Annotated, NoReturn

import typer

from aks_postgres.cli import demo, deployments, environment, removal, sandbox
from aks_postgres.exit_codes import ExitCode, failure_of
from aks_postgres.foreign_text import shown

app = typer.Typer(
    name="aks-postgres",
    help="Highly available PostgreSQL environments on AKS: provision them, look at them, or try it all on a "
    "local Azure with --sandbox.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.registered_commands += [*environment.app.registered_commands, *removal.app.registered_commands]
app.add_typer(deployments.app, name="deployments")
app.add_typer(sandbox.app, name="sandbox")
app.add_typer(demo.app, name="demo")


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"aks-postgres {version('aks-postgres')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command; an error meant for people is one message and an exit code, a bug its traceback."""
    _end_as_by_ctrl_c()
    try:
        app()
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
        print(shown(f"aks-postgres: {failure}"), file=sys.stderr)
        sys.exit(failure.code)


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
