"""`python -m tests.az.documents`: write docs/guide-map.md and docs/differences.md from their tables."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

from .differences import ABSENT, ANY, BY_DEFAULT, DIFFERENCES, Difference
from .guide import GUIDE, Command

REPOSITORY = Path(__file__).parents[2]

_TYPES = {
    "microsoft.alertsmanagement/prometheusrulegroups": "rule groups",
    "microsoft.authorization/roleassignments": "role assignments",
    "microsoft.containerservice/managedclusters": "cluster",
    "microsoft.containerservice/managedclusters/agentpools": "node pools",
    "microsoft.insights/datacollectionendpoints": "data collection endpoint",
    "microsoft.insights/datacollectionruleassociations": "rule associations",
    "microsoft.insights/datacollectionrules": "data collection rules",
    "microsoft.managedidentity/userassignedidentities": "identity",
    "microsoft.operationalinsights/workspaces": "Log Analytics workspace",
    "microsoft.resources/resourcegroups": "resource groups",
    "microsoft.storage/storageaccounts": "storage account",
    "microsoft.storage/storageaccounts/blobservices/containers": "blob containers",
    "*": "everything with tags",
}


def guide_map() -> str:
    """docs/guide-map.md."""
    lines = [
        "# Guide map",
        "",
        "Every block of commands in Microsoft's guide, in its order: what of ours does the same and which test holds",
        "it to that; and how the real `az` and `kubectl` run it on a sandbox (`make test-az`): as written, unless said",
        "otherwise. Written by `python -m tests.az.documents` from `tests/az/guide.py`, where the commands are.",
        "",
        "Headings without an article's name are of",
        "[Create infrastructure](https://learn.microsoft.com/azure/aks/create-postgresql-ha). Of the two articles",
        "after it, [Deploy](https://learn.microsoft.com/azure/aks/deploy-postgresql-ha) and",
        "[Validate](https://learn.microsoft.com/azure/aks/validate-postgresql-ha), only the az commands are run.",
        "",
    ]
    for chapter in GUIDE:
        lines += [
            f"## {chapter.heading}",
            "",
            "| the guide | commands | ours | tests | with the real az |",
            "| --- | --- | --- | --- | --- |",
        ]
        for command in chapter.commands:
            cells = (
                command.title,
                _commands(command.text),
                _ours(command),
                _tests(command),
                _offline(command),
            )
            lines.append(f"| {' | '.join(cells)} |")
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def _commands(text: str) -> str:
    """The commands of a block, up to their first option; what only sets variables has none."""
    found = []
    for words in re.findall(r"\b(?:az|helm|kubectl) [^\n|)]*", text.replace("\\\n", " ")):
        command = itertools.takewhile(re.compile(r"[a-z0-9-]*[a-z0-9]").fullmatch, words.split())
        found.append(" ".join(itertools.takewhile(lambda word: not word.startswith("-"), command)))
    return ", ".join(f"`{words}`" for words in dict.fromkeys(found)) or "variables"


def _ours(command: Command) -> str:
    return ", ".join(f"`{name.rpartition('.')[2]}`" for name in command.ours) or command.not_ours


def _tests(command: Command) -> str:
    return ", ".join(
        f"[{name}](../{file})" for file, _, name in (test.partition("::") for test in command.tests)
    )


def _offline(command: Command) -> str:
    if command.fails_with:
        return "refused, as the guide warns"
    if not command.because:
        return ""
    return f"{'changed' if command.script else 'not run'}: {command.because}"


def differences() -> str:
    """docs/differences.md."""
    lines = [
        "# Where we differ from the guide, and why",
        "",
        "Written by `python -m tests.az.documents` from `tests/az/differences.py`.",
        "",
        "## By default",
        "",
        "| what | the guide | here | why | the guide's way |",
        "| --- | --- | --- | --- | --- |",
    ]
    for one in BY_DEFAULT:
        back = f"`{one.field}={one.to_match}`" if one.to_match else f"`{one.field}`" if one.field else ""
        lines.append(f"| {one.what} | {one.guide} | {one.ours} | {one.why} | {back} |")
    lines += [
        "",
        "## Resource by resource",
        "",
        "The guide's commands, run by the real az, and `provision` with the guide's layout",
        "(`storage.backups: in_environment_group`, `monitoring.monitoring_reader_scope: subscription`, the same",
        "Kubernetes version and VM size) leave the same resources with the same properties in a sandbox, but for",
        "these.",
        "`tests/az/test_parity.py` fails on any other difference, and on a row here that isn't one any more. Not",
        "compared: when something happened, and identifiers that are drawn.",
        "",
        "| resource | property | here | the guide | why |",
        "| --- | --- | --- | --- | --- |",
    ]
    for entry in DIFFERENCES:
        resource = ", ".join(_TYPES[kind] for kind in entry.types)
        path = f"`{entry.path}`" if entry.path else "the whole"
        lines.append(f"| {resource} | {path} | {_value(entry, 0)} | {_value(entry, 1)} | {entry.why} |")
    return "\n".join(lines) + "\n"


def _value(entry: Difference, side: int) -> str:
    if entry.shown:
        return entry.shown[side]
    value = (entry.ours, entry.guides)[side]
    return repr(value) if value in (ABSENT, ANY) else f"`{value}`"


DOCUMENTS = {"docs/guide-map.md": guide_map, "docs/differences.md": differences}

if __name__ == "__main__":
    for name, text in DOCUMENTS.items():
        (REPOSITORY / name).write_text(text())
