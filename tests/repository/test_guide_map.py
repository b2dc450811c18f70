"""Every command of the guide has a function of ours and a test, or a reason; and the documents say so."""

import ast
import importlib
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from aks_postgres.spec.environment import EnvironmentSpec

from ..az.differences import BY_DEFAULT, ByDefault
from ..az.documents import DOCUMENTS
from ..az.guide import CREATE_INFRASTRUCTURE, GUIDE, Command

REPOSITORY = Path(__file__).parents[2]
OURS_ALONE = {
    # The group that outlives generations, and which generation is the current one.
    "ensure_backup_group",
    # What is deleted among the backups can be brought back.
    "ensure_backup_protection",
    "ensure_backup_lifecycle",
    "ensure_backup_immutability",
    "mark_generation",
    # The whole cluster in one write, where the spec asks for it, and what that may leave behind.
    "request_cluster",
    "restart_stuck_agents",
    # In a subnet of one's own, where the spec has one.
    "ensure_subnet_role",
    # An identity of the backups' own, where the spec asks for it.
    "ensure_backup_identity",
    # Monitoring Reader on the node group, where the guide gives it on the whole subscription.
    "ensure_node_group_reader",
}
COMMANDS = [command for chapter in GUIDE for command in chapter.commands]

each = pytest.mark.parametrize("command", COMMANDS, ids=[command.title for command in COMMANDS])


@each
def test_a_command_has_functions_and_tests_or_a_reason(command: Command) -> None:
    assert bool(command.ours) == bool(command.tests) != bool(command.not_ours)


@each
def test_a_command_that_runs_otherwise_or_not_at_all_has_a_reason(command: Command) -> None:
    assert bool(command.because) == (command.script != command.text)
    assert command.script.strip() or not command.fails_with


@each
def test_the_functions_and_tests_of_a_command_exist(command: Command) -> None:
    for name in command.ours:
        module, _, function = name.rpartition(".")
        assert callable(getattr(importlib.import_module(module), function)), name
    for test in command.tests:
        file, _, name = test.partition("::")
        assert name in functions_of(file), test


@cache
def functions_of(file: str) -> frozenset[str]:
    tree = ast.parse((REPOSITORY / file).read_text())
    return frozenset(
        node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )


def steps_of(*files: str) -> set[str]:
    """The tasks that these files in flows/ start."""
    return {
        alias.name
        for file in files
        for node in ast.walk(ast.parse((REPOSITORY / "flows" / file).read_text()))
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("aks_postgres.tasks.")
        for alias in node.names
        if not alias.name.isupper()  # a constant
    }


def test_every_step_of_the_flow_does_something_of_the_guide_or_is_known_not_to() -> None:
    mapped = {name.rpartition(".")[2] for command in COMMANDS for name in command.ours}
    assert steps_of("_environment.py") - mapped == OURS_ALONE


def test_every_mapped_task_is_a_step_of_the_flow() -> None:
    tasks = {
        name.rpartition(".")[2]
        for command in COMMANDS
        for name in command.ours
        if name.startswith("aks_postgres.tasks.")
    }
    assert tasks - steps_of("_environment.py", "_database.py") == set()


def rows() -> list[tuple[str, set[str]]]:
    """Headings and steps of each row of the guide map in docs/explanation/guide.md."""
    page = (REPOSITORY / "docs" / "explanation" / "guide.md").read_text()
    table = page.partition("\n## Guide map\n")[2].partition("\n## ")[0]
    cells = [row.strip("| ").split(" | ") for row in table.splitlines() if row.startswith("| ")][2:]
    return [(cell[0], set(re.findall(r"`(\w+)`", cell[1]))) for cell in cells]


@pytest.mark.parametrize(("headings", "steps"), rows(), ids=[row[0] for row in rows()])
def test_a_row_of_the_guide_map_has_steps_of_its_chapter(headings: str, steps: set[str]) -> None:
    # What a single command does inside has a row of its own.
    headings = headings.replace("(inside `az aks create`)", "Create the AKS cluster")
    # Without the name of a later article.
    of_row = [one for one in GUIDE if one.heading.rpartition(": ")[2].startswith(tuple(headings.split(", ")))]
    assert of_row
    known = {name.rpartition(".")[2] for one in of_row for command in one.commands for name in command.ours}
    if headings == "Clean up resources":
        known |= steps_of("tear_down.py", "_retirement.py")
    # `aks create` registers providers; we do it before the first write.
    assert steps - known - OURS_ALONE - {"register_providers"} == set()


def test_every_chapter_that_we_do_has_a_row_in_the_guide_map() -> None:
    known = [part for headings, _ in rows() for part in headings.split(", ")]
    done = [one.heading for one in CREATE_INFRASTRUCTURE if any(command.ours for command in one.commands)]
    assert [heading for heading in done if not heading.startswith(tuple(known))] == []


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document_says_what_its_table_says(name: str) -> None:
    """`python -m tests.az.documents` writes them."""
    assert (REPOSITORY / name).read_text() == DOCUMENTS[name]()


@pytest.mark.parametrize("one", [one for one in BY_DEFAULT if one.field], ids=lambda one: one.field)
def test_our_defaults_are_what_the_differences_say(one: ByDefault) -> None:
    value: Any = EnvironmentSpec()
    for part in one.field.split("."):
        value = getattr(value, part)
    assert value == one.default
    if one.to_match is not None:
        assert EnvironmentSpec.model_validate(nested(one.field, one.to_match))


def nested(path: str, value: Any) -> dict[str, Any]:
    first, _, rest = path.partition(".")
    return {first: nested(rest, value) if rest else value}
