"""Every command's help has an example that the command takes, but for those that take nothing."""

import re
import shlex

import pytest
import typer
from typer.testing import CliRunner

from aks_postgres.cli.main import app

COMMANDS = [
    command.name or command.callback.__name__.replace("_", "-")
    for command in app.registered_commands
    if command.callback
]


@pytest.mark.parametrize("name", ["", *COMMANDS])
def test_help_breaks_lines_where_the_terminal_ends_and_nowhere_else(name: str) -> None:
    shown = CliRunner().invoke(app, [*name.split(), "--help"], env={"COLUMNS": "400"}).stdout
    text = shown.partition("╭")[0].strip()
    paragraphs = [paragraph.strip().splitlines() for paragraph in re.split(r"\n\s*\n", text)]
    assert [paragraph for paragraph in paragraphs if len(paragraph) > 1] == []


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "version"])
def test_a_command_has_an_example_with_options_that_it_has(name: str) -> None:
    shown = CliRunner().invoke(app, [name, "--help"], env={"COLUMNS": "200"}).stdout
    (example,) = re.findall(r"Examples?: (aks-postgres [^│]*?)\s*$", shown, re.M)
    command = typer.main.get_command(app).commands[name]  # type: ignore[attr-defined]
    options = {option for parameter in command.params for option in parameter.opts}
    for one in example.split(", "):
        words = shlex.split(one)
        assert words[:2] == ["aks-postgres", name]
        assert {word for word in words if word.startswith("--")} <= options
