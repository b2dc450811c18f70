"""Every permanent error and every finding of the preflight says what to do, as data and not only in its words."""

import ast
import inspect
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from aks_postgres.arm.error_codes import RULES, STOPPED
from aks_postgres.errors import Finding, PermanentError
from aks_postgres.preflight.egress import EgressUnknown

from ..flows.test_ways_out import BY_WORDS, CODES, WALKS
from ..tasks.test_ways_out_ahead import AHEAD
from .our_errors import every_error
from .walked import NOT_HERE, WALKED
from .ways import ways

REPOSITORY = Path(__file__).parents[2]
# The two links in the package aren't followed.
FOLDERS = ("src/aks_postgres", "flows", "tasks")
PERMANENT = [kind for kind in every_error().values() if issubclass(kind, PermanentError)]
# Made without a way out of their own: it is their class's, or that of the findings in them.
OF_THE_CLASS = {
    "PreflightFailed",
    "UnknownRegion",
    "TearDownRefused",
    "WouldWrite",
    "EgressUnknown",
    "RolesMissing",
}
# Where a way out stands among the arguments, if it isn't named.
PLACE = {"ImmutableChange": 2, "LastingState": 2, "problem": 2, "Finding": 1}


def made() -> Iterator[tuple[str, str, ast.expr | None]]:
    """Where a permanent error or a finding is made, its kind, and its way out."""
    kinds = {kind.__name__ for kind in PERMANENT} - OF_THE_CLASS | {"problem", "Finding"}
    for file in sorted(file for folder in FOLDERS for file in (REPOSITORY / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
                continue
            kind = node.func.id
            if kind not in kinds:
                continue
            found = [one.value for one in node.keywords if one.arg == "way_out"]
            place = PLACE.get(kind)
            if not found and place is not None:
                found = node.args[place : place + 1]
            yield f"{file.relative_to(REPOSITORY)}:{node.lineno}", kind, found[0] if found else None


def _text(node: ast.expr) -> str | None:
    """The fixed text of a way out, `_` for what is filled in; None where it is computed."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "_" for part in node.values)
    return None


def test_every_permanent_error_and_every_finding_has_a_way_out() -> None:
    found = list(made())
    assert len(found) > 60
    assert [where for where, _, way_out in found if way_out is None] == []
    texts = {where: text for where, _, way_out in found if way_out and (text := _text(way_out)) is not None}
    assert len(texts) > 35
    # A whole sentence, which tells a person to do something.
    wrong = [
        where
        for where, text in texts.items()
        if not (text[:1].isupper() or text.startswith("_")) or not text.endswith((".", "?"))
    ]
    assert wrong == []


@pytest.mark.parametrize("kind", PERMANENT, ids=lambda kind: kind.__name__)
def test_a_permanent_error_holds_its_way_out(kind: type[PermanentError]) -> None:
    way = "Do this."
    made_of = {
        "TearDownRefused": ("cnpg", [Finding("x", way)]),
        "PreflightFailed": ([Finding("x", way)],),
        "UnknownRegion": ([Finding("x", way)],),
        "ImmutableChange": ("x", [], way),
        "LastingState": ("x", "is off", way),
        "AzureRefused": ("x", "Code"),
    }.get(kind.__name__, ("x",))
    takes = "way_out" in inspect.signature(kind).parameters and kind.__name__ not in PLACE
    error = kind(*made_of, **({"way_out": way} if takes else {}))  # type: ignore[arg-type]
    assert error.way_out
    if kind.__name__ not in OF_THE_CLASS:
        assert error.way_out == way
        assert str(error).endswith(way)
    assert EgressUnknown("x").way_out


def test_every_rule_that_stops_says_what_to_do() -> None:
    for rule in [*RULES.values(), STOPPED]:
        assert rule.reaction != "stop" or rule.advice[:1].isupper()


def test_every_way_out_is_walked_or_has_a_reason_why_not() -> None:
    """One more of them needs its walk; one that is gone takes its walk along."""
    here = (
        {way for walk in [*WALKS.values(), *AHEAD.values()] for way in walk.ways}
        | {f"arm code {code}" for code in CODES}
        | BY_WORDS.keys()
    )
    known = here | WALKED.keys() | NOT_HERE.keys()
    offered = ways()
    assert len(offered) > 150
    covered = {way: _covered(way, offered) for way in sorted(known)}
    assert sorted(set(offered).difference(*covered.values())) == []
    # One each, but for a whole table, whose name is followed by a space.
    assert [way for way, names in covered.items() if not names or (len(names) > 1 and way[-1] != " ")] == []


def _covered(way: str, offered: Iterable[str]) -> set[str]:
    """What a name or its beginning stands for; a whole name for nothing else."""
    return {way} if way in offered else {name for name in offered if name.startswith(way)}


@pytest.mark.parametrize("test", sorted(set(WALKED.values())))
def test_the_test_that_walks_it_is_there(test: str) -> None:
    file, _, name = test.partition("::")
    assert f"def {name}(" in (REPOSITORY / file).read_text()
