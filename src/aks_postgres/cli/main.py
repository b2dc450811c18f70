"""`aks-postgres`: the command and its errors. Imports are late, so that `--help` is quick."""

from __future__ import annotations

import asyncio
import inspect
import os
import signal
import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup
from typer.models import CommandInfo, TyperInfo

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
from aks_postgres.files.environment_secrets import keep_secrets_of_environment
from aks_postgres.foreign_text import shown
from aks_postgres.runs.failures import failure_of


class _Commands(TyperGroup):
    """All commands; a refused option is told without pydantic's "Value error" in front."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was given."""
        try:
            return super().invoke(ctx)
        except typer.BadParameter as refused:
            refused.message = refused.message.replace("Value error, ", "")
            raise


app = typer.Typer(
    cls=_Commands,
    name="aks-postgres",
    help="Highly available PostgreSQL environments on AKS: provision them, look at them, or try it all on a "
    "local Azure with --sandbox.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for part in (environment, removal, listing, doctor, recordings, spec_text):
    app.registered_commands += part.app.registered_commands
for group in (demo, deployments, sandbox):
    app.add_typer(group.app, name=group.__name__.rpartition(".")[2])

# As help shows them, in the order in which a person comes to them.
_PANELS = {
    "Begin": ("demo", "init", "fields", "doctor"),
    "Make, change and delete": ("plan", "provision", "rebuild", "tear-down", "fleet"),
    "Look and connect": ("list", "status", "outputs", "kubeconfig", "psql"),
    "Prefect, the sandbox and more": ("deployments", "sandbox", "compare-recording", "version"),
}
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


# Commands and groups that don't talk to Azure. Of the deployments only a worker does, in its runs.
_SILENT = ("init", "fields", "version", "compare-recording", "demo", "sandbox")


@app.callback()
def _options(
    context: typer.Context,
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
        if context.invoked_subcommand in _SILENT:
            raise recordings.nothing_to_record(context)
        os.environ["AKS_POSTGRES_RECORD"] = str(record.absolute())


def _arrange_help(typer_app: typer.Typer) -> None:
    """Put commands into panels, and let a paragraph break where the terminal ends, not where its source does."""
    panels = {name: panel for panel, names in _PANELS.items() for name in names}
    order = list(panels)
    for command in typer_app.registered_commands:
        paragraphs = (inspect.getdoc(command.callback) or "").split("\n\n")
        command.help = "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
    if typer_app is app:
        found: list[CommandInfo | TyperInfo] = [*app.registered_commands, *app.registered_groups]
        for one in found:
            one.rich_help_panel = panels[_name_of(one)]
        app.registered_commands.sort(key=lambda command: order.index(_name_of(command)))


def _name_of(one: CommandInfo | TyperInfo) -> str:
    return one.name or getattr(one.callback, "__name__", "").replace("_", "-")


for one in (app, demo.app, deployments.app, sandbox.app, sandbox.faults_app):
    _arrange_help(one)


def main() -> None:
    """Run the command; an error meant for people is one message and an exit code, a bug its traceback."""
    _end_as_by_ctrl_c()
    keep_secrets_of_environment()
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
        if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
            # A shell that runs a script starts so what the script puts into the background.
            signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.raise_signal(signal.SIGINT)

    for wanted in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(wanted) is not signal.SIG_IGN:
            signal.signal(wanted, interrupt)


if __name__ == "__main__":
    main()
