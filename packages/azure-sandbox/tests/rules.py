"""The rules of Azure that the sandbox keeps, each with its test and its source, as a document.

A rule is a test of the sandbox whose docstring names a URL: who saw Azure behave so, or where it is documented. Tests
that order the fault which they then see don't count, and neither do parameters: a test is one rule.
"""

from __future__ import annotations

import ast
import functools
import re
import sys
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent
URL = re.compile(r"https://[^\s)>,;\"']*[^\s)>,;\"'.:]")
# Their tests order what they see; the catalogue of scenarios has the sources of those.
NOT_RULES = ("scenarios/", "test_faults.py", "test_scenarios.py")
ORDERS = re.compile(r"\.(fault|order)\(|\border\(")


@dataclass(frozen=True)
class Rule:
    """A rule.

    Args:
        file: path below `tests/sandbox`.
        test: name of the function.
        sources: URLs.
    """

    file: str
    test: str
    sources: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """The test's name as a sentence."""
        words = self.test.removeprefix("test_").replace("_", " ")
        return words[0].upper() + words[1:]


@functools.cache
def rules() -> list[Rule]:
    """Every rule, by file."""
    found = []
    for path in sorted(FOLDER.rglob("test_*.py")):
        file = path.relative_to(FOLDER).as_posix()
        if file.startswith(NOT_RULES):
            continue
        text = path.read_text(encoding="utf-8")
        for node in ast.parse(text).body:
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or node.name[:5] != "test_":
                continue
            sources = tuple(URL.findall(ast.get_docstring(node) or ""))
            if sources and not ORDERS.search(ast.get_source_segment(text, node) or ""):
                found.append(Rule(file, node.name, sources))
    return found


def document() -> str:
    """The table of all rules."""
    found = rules()
    lines = [
        "# The rules of Azure that the sandbox keeps",
        "",
        f"{len(found)} rules, each proved by a test of its name in `packages/azure-sandbox/tests/` that cites its",
        "source. Made by `python packages/azure-sandbox/tests/rules.py > docs/sandbox-rules.md`.",
    ]
    for file in dict.fromkeys(rule.file for rule in found):
        lines += ["", f"## {file}", ""]
        for rule in found:
            if rule.file == file:
                links = ", ".join(f"[{number}]({url})" for number, url in enumerate(rule.sources, 1))
                lines.append(f"- {rule.sentence}: {links}")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(document())
