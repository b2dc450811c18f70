"""What is printed to be copied can be pasted into a bare shell as it stands."""

import ast
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from aks_postgres import commands
from aks_postgres.cli.main import app
from aks_postgres.commands import ABOUT_ONE, SANDBOX_STATE, TAKE_A_SANDBOX, as_pasted, in_a_sandbox, pasted

from ..cases import shown
from .test_start_up import REFUSALS, refused

REPOSITORY = Path(__file__).parents[2]
# Written for readers elsewhere, where this machine's paths are nothing: on a Prefect server, into a file, as help.
ELSEWHERE = {"automations.py", "passwords.py", "plan_file.py", "rendering.py", "signals.py"}
BARE = re.compile(
    r"(?<![`/\w-])aks-postgres (?:sandbox|deployments|demo|[a-z-]+ (?:--|\{)|list|psql|fields|init)"
)


def commands_of(group: Any, above: str = "") -> Iterator[tuple[str, Any]]:
    if commands := getattr(group, "commands", None):  # Typer brings a click of its own
        for name, one in commands.items():
            yield from commands_of(one, f"{above}{name} ")
    else:
        yield above.strip(), group


def parse(line: str) -> None:
    """See that the command line is one, without running it."""
    words = shlex.split(line)
    assert words[0] == "aks-postgres" or Path(words[0]).exists()
    at: Any = typer.main.get_command(app)
    rest = words[1:]
    while hasattr(at, "commands"):
        at, rest = at.commands[rest[0]], rest[1:]
    at.make_context("hint", rest)


def hints(text: str) -> list[str]:
    return re.findall(r"`((?:\S*/)?aks-postgres [^`]+)`", text)


HINTING = [case for case in REFUSALS if case[2] in ("sandbox start", "/nowhere", "nothing")]


@pytest.mark.parametrize(("arguments", "code", "word"), shown(HINTING, first=1))
def test_the_commands_of_a_refusal_are_commands(
    arguments: list[str], code: int, word: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    ended, _, message = refused(arguments)
    assert ended == code
    for line in hints(message):
        assert line.startswith(str(Path(sys.executable).parent / "aks-postgres "))
        parse(line)
    if code == 4:
        assert "sandbox start --state /nowhere`" in message


def test_a_command_gets_what_the_person_gave(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.setenv(SANDBOX_STATE, str(tmp_path / "a folder"))
    us = str(Path(sys.executable).parent / "aks-postgres")
    where = f"--sandbox --state '{tmp_path}/a folder'"
    about = ["--name", "shop", "--region", "westus3"]
    text = as_pasted("Run `aks-postgres rebuild`, or `aks-postgres fields zone`.", about)
    assert text == f"Run `{us} rebuild --name shop --region westus3 {where}`, or `{us} fields zone`."
    assert as_pasted(text, about) == text
    assert pasted("plan", "--spec", "a file.yaml") == f"{us} plan --spec 'a file.yaml' {where}"
    assert pasted("deployments", "apply") == f"{us} deployments apply {where}"
    assert in_a_sandbox("list") == f"{us} list {where}"
    monkeypatch.delenv(SANDBOX_STATE)
    # A reader of an artifact may be anywhere.
    assert in_a_sandbox("list") == "aks-postgres list"


def test_the_program_is_called_by_its_name_where_a_shell_finds_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent))
    assert commands.program() == "aks-postgres"


def test_the_commands_that_take_a_sandbox_are_known() -> None:
    options = {
        name: {option for one in command.params for option in one.opts}
        for name, command in commands_of(typer.main.get_command(app))
    }
    assert {name for name, has in options.items() if "--sandbox" in has} == set(TAKE_A_SANDBOX)
    assert {name for name, has in options.items() if {"--spec", "--suffix"} <= has} == set(ABOUT_ONE)


def texts(file: Path) -> Iterator[str]:
    """The texts of a module without its docstrings, which are help and examples."""
    tree = ast.parse(file.read_text())
    described = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in described:
            yield node.value


def test_no_message_has_a_command_that_is_not_made_pasteable() -> None:
    """Between backticks it is seen to when it is printed; else `pasted` writes it."""
    found = [
        f"{file.name}: {text}"
        for folder in ("src", "flows", "tasks")
        for file in sorted((REPOSITORY / folder).rglob("*.py"))
        if file.name not in ELSEWHERE
        for text in texts(file)
        if BARE.search(text)
    ]
    assert found == []
