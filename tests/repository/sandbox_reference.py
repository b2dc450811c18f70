"""`python -m tests.repository.sandbox_reference`: write docs/reference/sandbox-client.md from the docstrings."""

import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from azure_sandbox import client, pytest_plugin

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "sandbox-client.md"
HEAD = """\
# The sandbox's client and pytest plugin

What tests call: fixtures, which pytest finds by itself once `azure-sandbox[pytest]` is installed, and the client that
they hand out. Made from the docstrings by `python -m tests.repository.sandbox_reference`. The sandbox itself:
[The sandbox](../sandbox.md).

## Fixtures

```py
def test_a_group_is_made(sandbox):
    groups = sandbox.client(ResourceManagementClient).resource_groups
    groups.create_or_update("rg", {"location": "canadacentral"})
```
"""


def _signature(function: Callable[..., Any]) -> str:
    """Name and parameters, without `self` and without types' modules."""
    found = inspect.signature(function)
    taken = [one for name, one in found.parameters.items() if name != "self"]
    shown = str(found.replace(parameters=taken))
    return re.sub(r"'|(?:\b[a-z_]+\.)+(?=[A-Z])", "", shown)


def _text(documented: object) -> str:
    """A docstring as Markdown: sections in bold, what they list as items."""
    lines = []
    for line in (inspect.getdoc(documented) or "").splitlines():
        if re.fullmatch(r"(Args|Returns|Raises|Attributes):", line):
            lines += [f"**{line.removesuffix(':')}**", ""]
        elif found := re.match(r" {4}(\w+): (.*)", line):
            lines.append(f"- `{found[1]}`: {found[2]}")
        else:
            lines.append(re.sub(r"^ {4,8}(?=\S)", "  ", line))
    return re.sub(r"\b([a-z_]+)=", r"\1=", "\n".join(lines)).strip()


def _entry(heading: str, documented: object) -> str:
    return f"\n{heading}\n\n{_text(documented)}\n"


def document() -> str:
    """The page as it should be."""
    found = [HEAD]
    for name, fixture in vars(pytest_plugin).items():
        function = getattr(fixture, "__wrapped__", None) or getattr(fixture, "_fixture_function", None)
        if function is not None and function.__module__ == pytest_plugin.__name__:
            found.append(_entry(f"### `{name}`", function))
    found.append("\n## `azure_sandbox.client`\n")
    found.append(_entry(f"### `start{_signature(client.start)}`", client.start))
    process = client.SandboxProcess
    found.append(_entry(f"### `SandboxProcess{_signature(process)}`", process))
    for name, member in vars(process).items():
        if not name.startswith("_"):
            function = member.fget if isinstance(member, property) else member
            call = "" if isinstance(member, property) else _signature(function)
            found.append(_entry(f"#### `{name}{call}`", function))
    return "".join(found)


if __name__ == "__main__":
    PAGE.write_text(document())
