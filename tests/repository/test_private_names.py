"""Tests use what the packages offer: no private module, no private name, and nothing private is patched."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
OURS = ("aks_postgres", "azure_sandbox")
# In flows/ the sign says that a module is no flow.
NO_FLOWS = re.compile(r"^aks_postgres\.flows\._")
PATCHES = ("setattr", "delattr", "object", "patch", "getattr")


def is_private(name: str) -> bool:
    name = NO_FLOWS.sub("", name)
    return any(part.startswith("_") and not part.startswith("__") for part in name.split("."))


def private_uses(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Lines and names of what is ours and private in a test."""
    ours: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] in OURS:
            for alias in node.names:
                ours.add(alias.asname or alias.name)
                if is_private(f"{node.module}.{alias.name}"):
                    yield node.lineno, f"{node.module}.{alias.name}"
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] in OURS:
                    ours.add(alias.asname or alias.name.split(".")[0])
                    if is_private(alias.name):
                        yield node.lineno, alias.name
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and is_private(node.attr):
            root = node.value
            while isinstance(root, ast.Attribute):
                root = root.value
            if isinstance(root, ast.Name) and root.id in ours:
                yield node.lineno, ast.unparse(node)
        elif isinstance(node, ast.Call):
            called = node.func
            name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
            if name not in PATCHES:
                continue
            given = [
                one.value for one in node.args if isinstance(one, ast.Constant) and isinstance(one.value, str)
            ]
            target = ast.unparse(node.args[0]).split(".")[0].strip("'\"") if node.args else ""
            if target in {*ours, *OURS} and any(is_private(text) for text in given):
                yield node.lineno, ast.unparse(node)


def test_tests_use_no_private_name_of_ours() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}: {what}"
        for folder in ("tests", "packages/azure-sandbox/tests")
        for path in sorted((ROOT / folder).rglob("*.py"))
        for line, what in private_uses(ast.parse(path.read_text()))
    ]
    assert found == []


def test_each_way_of_using_one_is_noticed() -> None:
    for code in (
        "from aks_postgres.arm import _x",
        "from aks_postgres._x import y",
        "import aks_postgres._x",
        "from aks_postgres import arm\narm.retry._x",
        "from aks_postgres import arm\nmonkeypatch.setattr(arm, '_x', 1)",
        "from aks_postgres import arm\nmock.patch.object(arm.retry, '_x', 1)",
        "mock.patch('aks_postgres.arm._x')",
    ):
        assert list(private_uses(ast.parse(code))), code
    assert list(private_uses(ast.parse("import aiohttp\naiohttp._x\nself._x"))) == []
