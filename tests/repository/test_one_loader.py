"""YAML is read in one place, with its limits; files that a person names are opened in one place, with theirs."""

import ast
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
# The sandbox is no part of it: it imports none of us, and reads what it ships and what it is sent by its own user.
FOLDERS = ("src/aks_postgres", "tasks", "flows")
LOADER = "src/aks_postgres/files/yaml_text.py"
READS = {
    "load",
    "load_all",
    "safe_load",
    "safe_load_all",
    "full_load",
    "full_load_all",
    "unsafe_load",
    "unsafe_load_all",
    "parse",
    "compose",
    "compose_all",
    "scan",
}


def files() -> list[str]:
    return [
        str(file.relative_to(REPOSITORY))
        for folder in FOLDERS
        for file in sorted((REPOSITORY / folder).rglob("*.py"))
    ]


def yaml_reads(source: str) -> list[str]:
    """The calls, names and classes of PyYAML with which a text is read."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "yaml":
            if node.attr in READS or node.attr.endswith("Loader"):
                found.append(f"line {node.lineno}: yaml.{node.attr}")
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in ("yaml", "ruamel"):
            found.append(f"line {node.lineno}: from {node.module}")
        elif isinstance(node, ast.Import) and any(
            one.name.startswith(("yaml.", "ruamel")) or (one.name == "yaml" and one.asname)
            for one in node.names
        ):
            found.append(f"line {node.lineno}: import")
    return found


@pytest.mark.parametrize(
    "text",
    [
        "yaml.safe_load(x)",
        "yaml.load(x, Loader=L)",
        "getattr(yaml, 'x'), yaml.CSafeLoader",
        "from yaml import safe_load",
        "import yaml as y",
        "import ruamel.yaml",
    ],
)
def test_the_search_finds_every_way_of_reading(text: str) -> None:
    assert yaml_reads(text)


def test_writing_yaml_is_free() -> None:
    assert yaml_reads("yaml.dump(x, Dumper=yaml.SafeDumper)") == []


def test_yaml_is_read_by_the_one_loader_with_limits() -> None:
    assert LOADER in files()
    found = {file: yaml_reads((REPOSITORY / file).read_text()) for file in files() if file != LOADER}
    assert {file: reads for file, reads in found.items() if reads} == {}
