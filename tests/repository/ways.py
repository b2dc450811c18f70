"""Every way out that the product offers, read from its code and its tables."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from aks_postgres.arm.entra_codes import ADVICE
from aks_postgres.arm.error_codes import RULES
from aks_postgres.database.status import WAYS_OUT_OF_PHASES
from aks_postgres.kubernetes.cluster_events import WAYS_OUT_OF_WARNINGS
from aks_postgres.kubernetes.pod_troubles import WAYS_OUT

REPOSITORY = Path(__file__).parents[2]
# The two links in the package aren't followed.
FOLDERS = ("src/aks_postgres", "flows", "tasks")
# Where a way out stands among the arguments, if it isn't named.
PLACE = {
    "ImmutableChange": 2,
    "LastingState": 2,
    "problem": 2,
    "Finding": 1,
    "_granted": 3,
    "entra_advice": 1,
}


@cache
def ways() -> dict[str, str]:
    """By where it is from and how it begins: the text of each way out, `_` for what is filled in."""
    tables = {
        **{f"arm code {code}": rule.advice for code, rule in RULES.items() if rule.reaction == "stop"},
        **{f"Entra {number}": advice for number, advice in ADVICE.items()},
        **{f"pod {reason}": text for reason, text in WAYS_OUT.items()},
        **{f"phase {phase}": text for phase, text in WAYS_OUT_OF_PHASES.items()},
        **{f"warning {text[:60]}": text for text in WAYS_OUT_OF_WARNINGS},
    }
    known = set(tables.values())
    found: dict[str, str] = {}
    for folder in FOLDERS:
        for file in sorted((REPOSITORY / folder).rglob("*.py")):
            where = str(file.relative_to(REPOSITORY)).removeprefix("src/aks_postgres/").removesuffix(".py")
            tree = ast.parse(file.read_text())
            for text in _of_scope(tree, [tree]):
                if text not in known:
                    found[f"{where}: {text[:60].strip()}"] = text
    return found | tables


def matches(way: str, told: str) -> bool:
    """Whether a message has a way out, whose sentence may go on; `way` is how its name begins."""
    texts = [text for name, text in ways().items() if name.startswith(way)]
    assert texts, way
    patterns = [".*?".join(map(re.escape, text.rstrip(".").split("_"))) for text in texts]
    return any(re.search(pattern, told, re.S) for pattern in patterns)


def _of_scope(scope: ast.AST, above: list[ast.AST]) -> Iterator[str]:
    for node in _own(scope):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield from _of_scope(node, [node, *above])
            if not isinstance(node, ast.ClassDef):
                yield from _of_arguments(node, above)
        elif isinstance(node, ast.Return) and "way_out" in getattr(scope, "name", "") and node.value:
            yield from _texts(node.value, above)
        elif isinstance(node, ast.Call):
            for value in _given(node):
                yield from _texts(value, above)
        elif isinstance(node, ast.AnnAssign) and getattr(node.target, "id", "") == "way_out" and node.value:
            yield from _texts(node.value, above)  # a field's default


def _of_arguments(function: ast.FunctionDef | ast.AsyncFunctionDef, above: list[ast.AST]) -> Iterator[str]:
    """What a function takes for a way out, unless it is given another."""
    given = function.args
    named = [*zip(given.args[-len(given.defaults) :] if given.defaults else [], given.defaults, strict=True)]
    for argument, default in [*named, *zip(given.kwonlyargs, given.kw_defaults, strict=True)]:
        if argument.arg == "way_out" and default is not None:
            yield from _texts(default, above)


def _own(scope: ast.AST) -> Iterator[ast.AST]:
    """What is in a scope and in no function or class of it; those themselves too."""
    for node in ast.iter_child_nodes(scope):
        yield node
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield from _own(node)


def _given(call: ast.Call) -> list[ast.expr]:
    name = call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")
    named = [one.value for one in call.keywords if one.arg == "way_out"]
    place = PLACE.get(name)
    if name == "_stop":  # of the table of codes, or of `doctor`
        place = 0 if len(call.args) == 1 else 2
    return named or (call.args[place : place + 1] if place is not None else [])


def _texts(node: ast.expr, above: list[ast.AST]) -> Iterator[str]:
    """The texts that an expression can be; none of what somebody else's way out is only handed on with."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value:
        yield node.value
    elif isinstance(node, ast.JoinedStr):
        parts = [_part(part, above) for part in node.values]
        text = "".join(parts)
        if re.search(r"[A-Za-z]{3}", text.replace("Then run again", "")):
            yield text
    elif isinstance(node, ast.IfExp):
        yield from _texts(node.body, above)
        yield from _texts(node.orelse, above)
    elif isinstance(node, ast.BinOp):
        left, right = [*_texts(node.left, above)], [*_texts(node.right, above)]
        yield from ((left or [""])[0] + (right or [""])[0],)
    elif isinstance(node, ast.Name):
        for scope in above:
            values = [one.value for one in _own(scope) if _assigns(one, node.id)]
            if values:
                for value in values:
                    yield from _texts(value, above)
                return


def _part(part: ast.expr, above: list[ast.AST]) -> str:
    if isinstance(part, ast.Constant):
        return str(part.value)
    return "_"


def _assigns(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Assign) and any(getattr(one, "id", "") == name for one in node.targets)


if __name__ == "__main__":
    for key, text in ways().items():
        print(f"{key} | {text}")
