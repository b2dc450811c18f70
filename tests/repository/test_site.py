"""The documentation: every page is in the nav, links lead somewhere, sentences are short, and blocks run."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml

from aks_postgres.arm.error_codes import RULES
from aks_postgres.arm.errors import AzureRefused
from aks_postgres.cli.main import app
from aks_postgres.errors import PermanentError, ProvisioningError, TemporaryError
from aks_postgres.preflight.errors import UnknownRegion

from .our_errors import every_error
from .sandbox_reference import PAGE
from .sandbox_reference import document as sandbox_reference
from .when_it_fails import FILE, OURS, SYMPTOMS, document, slug

REPOSITORY = Path(__file__).parents[2]
DOCS = REPOSITORY / "docs"
PAGES = sorted(str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md"))
WITH_COMMANDS = [page for page in PAGES if page.startswith(("start/", "how-to/"))]
SIMPLE = [*WITH_COMMANDS, "when-it-fails.md"]
MOST_WORDS = 30
BLOCK = re.compile(
    r"(?P<not_run><!-- not run by a test: [^>]+ -->\n *)?"
    r"^(?P<indent> *)```(?P<kind>sh|yaml title=\"(?P<file>[^\"]+)\")\n"
    r"(?P<text>.*?)^ *```$",
    re.M | re.S,
)


def nav() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((REPOSITORY / "mkdocs.yml").read_text())
    return found


def pages_of(entry: Any) -> list[str]:
    if isinstance(entry, str):
        return [entry]
    entries = entry.values() if isinstance(entry, dict) else entry
    return [page for one in entries for page in pages_of(one)]


def blocks(page: str) -> list[dict[str, str]]:
    text = (DOCS / page).read_text()
    found = [match.groupdict() for match in BLOCK.finditer(text)]
    assert len(found) == len(re.findall(r"^ *```\w", text, re.M)), f"{page} has a block of another kind"
    for block in found:
        block["text"] = re.sub(rf"^{block['indent']}", "", block["text"], flags=re.M)
    return found


def test_the_nav_names_every_page_once() -> None:
    assert sorted(pages_of(nav()["nav"])) == PAGES


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", *(f"docs/{page}" for page in PAGES)])
def test_links_between_files_lead_somewhere(page: str) -> None:
    file = REPOSITORY / page
    links = re.findall(r"\]\(([^)\s#:]+)(?:#[^)\s]*)?\)", file.read_text())
    assert [link for link in links if not (file.parent / link).exists()] == []


def test_the_readme_is_short() -> None:
    assert len((REPOSITORY / "README.md").read_text().splitlines()) <= 120


def sentences(text: str) -> list[str]:
    """Prose alone: a cell, an item and a paragraph each end a sentence; code in quotes is one word."""
    text = re.sub(r"^ *```.*?^ *```$|<!--.*?-->", "\n\n", text, flags=re.M | re.S)
    text = re.sub(r"\]\([^)]*\)", "]", re.sub(r"`[^`]*`", "code", text))
    text = re.sub(r"\n *(?=[-|#]|\d+\.)", "\n\n", text).replace("|", "\n\n")
    return [one for part in text.split("\n\n") for one in re.split(r"(?<=[.?!])\s+", part)]


@pytest.mark.parametrize("page", SIMPLE)
def test_no_sentence_is_long(page: str) -> None:
    found = sentences((DOCS / page).read_text())
    assert [one for one in found if len(re.findall(r"[\w'./:-]*\w", one)) > MOST_WORDS] == []


def test_a_long_sentence_would_be_found() -> None:
    assert max(len(one.split()) for one in sentences("- A.\n- " + "word " * 31 + "end.\n")) > MOST_WORDS


def test_when_it_fails_is_up_to_date() -> None:
    assert FILE.read_text() == document(), "python -m tests.repository.when_it_fails"


def test_every_code_has_one_symptom_and_every_error_a_row() -> None:
    codes = Counter(code for chapter in SYMPTOMS.values() for symptom in chapter for code in symptom.codes)
    assert codes == Counter(RULES.keys())
    kinds = {*every_error().values()} - {UnknownRegion}
    # Azure's refusals are the codes; a root has no message of its own.
    roots = {ProvisioningError, TemporaryError, PermanentError, AzureRefused}
    assert kinds - roots <= set(OURS)


def test_every_message_of_the_error_table_is_linked_to_its_section() -> None:
    text = FILE.read_text()
    linked = dict(re.findall(r"^\| `(\w+)` \| \[[^]]+\]\(#([^)]+)\) \|$", text, re.M))
    assert linked.keys() == {*RULES.keys(), *(kind.__name__ for kind in OURS)}
    sections = {
        slug(heading): body for heading, body in re.findall(r"^##+ (.+)\n((?:(?!##).*\n)*)", text, re.M)
    }
    for code, anchor in linked.items():
        assert f"`{code}`" in sections[anchor], code


def test_the_sandboxs_reference_is_made_of_its_docstrings() -> None:
    assert PAGE.read_text() == sandbox_reference(), "python -m tests.repository.sandbox_reference"


HOW_TO = [
    "schedule-rebuilds",
    "run-from-the-ui",
    "add-a-region",
    "approve-a-rebuild",
    "adopt",
    "tear-down",
    "bring-versions-up-to-date",
    "locked-down-tenants",
    "private-networks",
    "get-notifications",
    "send-a-recording",
    "deploy-a-database",
]


def test_every_how_to_is_there_and_in_the_readme() -> None:
    pages = {Path(page).stem for page in PAGES if page.startswith("how-to/")}
    assert pages == set(HOW_TO)
    readme = (REPOSITORY / "README.md").read_text()
    assert [page for page in HOW_TO if f"docs/how-to/{page}.md" not in readme] == []


def commands(page: str) -> list[list[str]]:
    lines = [line for block in blocks(page) if block["kind"] == "sh" for line in block["text"].splitlines()]
    split = [shlex.split(line, comments=True) for line in lines if line.startswith("aks-postgres ")]
    return [line[1:] for line in split]


@pytest.mark.parametrize("page", WITH_COMMANDS)
def test_every_command_takes_the_options_that_the_page_gives_it(page: str) -> None:
    for arguments in commands(page):
        command: Any = typer.main.get_command(app)
        while hasattr(command, "commands"):
            assert arguments[0] in command.commands, arguments
            command, arguments = command.commands[arguments[0]], arguments[1:]
        options = {option for one in command.params for option in one.opts}
        assert {one for one in arguments if one.startswith("--")} - {
            "--spec",
            "--set",
            "--record",
        } - options == set()


@pytest.mark.thorough
def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs")
    built = subprocess.run(
        [
            sys.executable,
            "-m",
            "mkdocs",
            "build",
            "--strict",
            "--quiet",
            "--site-dir",
            str(tmp_path / "site"),
        ],
        cwd=REPOSITORY,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (built.returncode, built.stderr) == (0, "")
    assert (tmp_path / "site" / "when-it-fails.html").exists()


# 5 says that a plan found something, as it should.
AS_WRITTEN = """\
set -eu
aks-postgres() { command aks-postgres "$@" || [ $? = 5 ]; }
"""
# A sandbox of its own is in Azure's place: the demo's has an environment already, with a database.
AS_IF_AZURE = """\
set -eu
aks-postgres() {
    case $1 in
        doctor|plan|provision|list|status|outputs|kubeconfig|tear-down) set -- "$@" --sandbox --state azure ;;
    esac
    command aks-postgres "$@" || [ $? = 5 ]
}
"""


@pytest.mark.thorough
@pytest.mark.timeout(1500)
def test_the_blocks_of_start_and_how_to_run_as_they_are_written(tmp_path: Path) -> None:
    """In the nav's order, in one folder; what stops the demo comes last."""
    folder = tmp_path / "clone"
    folder.mkdir()
    for name in ("Makefile", "pyproject.toml", "packages/azure-sandbox/pyproject.toml"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(REPOSITORY / name, folder / name)
    # Installed already: make finds its mark.
    (folder / ".venv").mkdir()
    (folder / ".venv" / "bin").symlink_to(Path(sys.prefix) / "bin")
    (folder / ".venv" / ".installed").touch()
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "AZURE_"))}
    environment = kept | {"PATH": f"{Path(sys.prefix) / 'bin'}:{os.environ['PATH']}", "NO_COLOR": "1"}

    def run(text: str, page: str) -> str:
        # The output goes to a file: the servers that a block leaves would hold a pipe open.
        with (tmp_path / "output").open("w+") as output:
            done = subprocess.run(
                ["bash", "-c", text], cwd=folder, env=environment, stdout=output, stderr=subprocess.STDOUT
            )
            output.seek(0)
            printed = output.read()
        assert done.returncode == 0, f"{page}:\n{text}\n{printed[-3000:]}"
        return printed

    ran = 0
    stop = ""
    own_server = False
    try:
        run("aks-postgres sandbox start --state azure", "start/first-run-on-azure.md")
        for page in (page for page in pages_of(nav()["nav"]) if page in WITH_COMMANDS):
            if page.startswith("how-to/") and not own_server:
                # From here on the reader has a server with the deployments of their own regions file alone.
                own_server = True
                (folder / "regions.yaml").write_text("- spec: {name: cnpg, region: canadacentral}\n")
                run("aks-postgres deployments prune --regions regions.yaml", page)
            for block in blocks(page):
                text = block["text"]
                if block["not_run"] or text.startswith("pip install"):
                    continue
                if block["file"]:
                    (folder / block["file"]).write_text(text)
                elif text == "make stop\n":
                    stop = text
                elif page == "start/first-run-on-azure.md" and "tear-down" in text and "--plan" not in text:
                    continue  # the same command as in how-to/tear-down.md, which comes last
                else:
                    if "deployments init" in text:
                        (folder / "regions.yaml").unlink(missing_ok=True)
                    printed = run((AS_WRITTEN if page == "start/try-it.md" else AS_IF_AZURE) + text, page)
                    ran += 1
                    if found := re.search(r"export PREFECT_API_URL=(\S+)", printed):
                        environment["PREFECT_API_URL"] = found[1]
    finally:
        run("aks-postgres sandbox stop --state azure", "start/first-run-on-azure.md")
        run(stop or "aks-postgres demo stop", "start/try-it.md")
    assert ran > 15
    assert stop
