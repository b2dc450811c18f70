"""No test that `make test` runs asserts how long something took: a busy machine would break it."""

import ast
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
TESTS = (REPOSITORY / "tests", REPOSITORY / "packages" / "azure-sandbox" / "tests")
# On a quiet machine, or with promises of minutes: `make bench-bars`, `make test-end-to-end`, `make matrix`.
ELSEWHERE = ("az", "bench", "end_to_end", "matrix")
CLOCKS = {"monotonic", "perf_counter", "time", "process_time"}
# What hangs is given up, and what is slow isn't.
SHORTEST_PATIENCE_S = 30


def is_clock(node: ast.expr) -> bool:
    """Whether this reads a real clock."""
    if not isinstance(node, ast.Call):
        return False
    called = node.func
    if isinstance(called, ast.Attribute):
        owner = called.value.id if isinstance(called.value, ast.Name) else ""
        return called.attr in CLOCKS and owner in ("time", "loop")
    return isinstance(called, ast.Name) and called.id in CLOCKS - {"time"}


def has_span(node: ast.AST, spans: set[str]) -> bool:
    """Whether real time that went by is part of this: a clock minus something, or a name for that."""
    return any(
        (isinstance(one, ast.BinOp) and isinstance(one.op, ast.Sub) and is_clock(one.left))
        or (isinstance(one, ast.Name) and one.id in spans)
        or (isinstance(one, ast.Attribute) and one.attr in ("elapsed", "took_s"))
        for one in ast.walk(node)
    )


def is_upper_bound(test: ast.expr) -> bool:
    """Whether a plain number stands on the greater side of a comparison in this."""
    for one in ast.walk(test):
        if isinstance(one, ast.Compare):
            sides = [one.left, *one.comparators]
            for left, how, right in zip(sides, one.ops, sides[1:], strict=False):
                greater = right if isinstance(how, ast.Lt | ast.LtE) else left
                if isinstance(how, ast.Lt | ast.LtE | ast.Gt | ast.GtE) and isinstance(greater, ast.Constant):
                    return True
    return False


def bars(source: str) -> list[int]:
    """Lines that assert an upper bound of real time, or give up what may only be slow."""
    tree = ast.parse(source)
    found = []
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        spans: set[str] = set()
        for node in ast.walk(function):
            if isinstance(node, ast.Assign) and has_span(node.value, set()):
                targets = [one for target in node.targets for one in ast.walk(target)]
                spans |= {one.id for one in targets if isinstance(one, ast.Name)}
        for node in ast.walk(function):
            if isinstance(node, ast.Assert) and has_span(node.test, spans) and is_upper_bound(node.test):
                found.append(node.lineno)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            given = node.args if node.func.attr == "timeout" else []
            if node.func.attr in ("wait", "result", "communicate"):
                given = [one.value for one in node.keywords if one.arg == "timeout"]
            for value in given:
                if (
                    isinstance(value, ast.Constant)
                    and isinstance(value.value, int | float)
                    and value.value < SHORTEST_PATIENCE_S
                ):
                    found.append(node.lineno)
    return sorted(set(found))


@pytest.mark.parametrize(
    "line",
    [
        "assert time.monotonic() - began < 10",
        "assert 0.04 < time.monotonic() - began < 2",
        "took_s = time.perf_counter() - began; assert took_s <= 4",
        "assert 10 > time.time() - began",
        "assert answer.elapsed.total_seconds() < 20",
        "assert second.took_s <= 10",
        "process.wait(timeout=10)",
        "answer.result(timeout=5)",
        "async with asyncio.timeout(10): pass",
    ],
)
def test_a_bar_is_found(line: str) -> None:
    assert bars(f"async def test():\n    {line}\n") == [2]


@pytest.mark.parametrize(
    "line",
    [
        "assert time.monotonic() - began > 0.04",
        "assert time.monotonic() < deadline",
        "assert claims['exp'] - time.time() > 3600",
        "assert clock.now_s() - began < 500",
        "process.wait(timeout=60)",
        "answer.result()",
    ],
)
def test_what_a_busy_machine_cant_break_is_none(line: str) -> None:
    assert bars(f"async def test():\n    {line}\n") == []


def test_no_test_has_a_bar_in_seconds() -> None:
    found = []
    for folder in TESTS:
        for file in sorted(folder.rglob("*.py")):
            if file.relative_to(folder).parts[0] not in ELSEWHERE and file.name != "bench.py":
                found += [f"{file.relative_to(REPOSITORY)}:{line}" for line in bars(file.read_text())]
    assert found == []
