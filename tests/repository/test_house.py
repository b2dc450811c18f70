"""Promises about how the code is built, looked for in its source."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from aks_postgres.flows import _environment
from aks_postgres.resources import kinds
from aks_postgres.resources.kinds import KINDS

from . import diagram

ROOT = Path(__file__).parents[2]
PRODUCT = ROOT / "src" / "aks_postgres"
TASKS = sorted((ROOT / "tasks").rglob("*.py"))
# How a run's mode, and what is only planned, can be asked for.
MODES = {"plans", "planning", "writes", "lets", "read_only", "Planned", "PlannedBody", "is_planned"}
MODES |= {"is_unknown", "UNKNOWN", "planned_outputs"}


def sources() -> Iterator[tuple[Path, ast.Module]]:
    for folder in (PRODUCT, ROOT / "tasks", ROOT / "flows"):
        for file in sorted(folder.rglob("*.py")):
            yield file, ast.parse(file.read_text())


def names_in(tree: ast.AST) -> set[str]:
    found = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    return found | {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}


@pytest.mark.parametrize("file", TASKS, ids=lambda file: str(file.relative_to(ROOT)))
def test_no_step_asks_whether_the_run_plans_or_only_reads(file: Path) -> None:
    tree = ast.parse(file.read_text())
    # What `planned=` names says what a plan would report, which only the decorator asks for.
    planned = {
        keyword.value.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        for keyword in node.keywords
        if keyword.arg == "planned" and isinstance(keyword.value, ast.Name)
    }
    rest = [node for node in tree.body if not (isinstance(node, ast.FunctionDef) and node.name in planned)]
    assert set().union(*map(names_in, rest)) & MODES == set()
    assert "gate.mode" not in file.read_text()


def test_the_connection_is_asked_for_at_one_place() -> None:
    calls = [
        file.name
        for file, tree in sources()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] == "current_azure"
    ]
    assert calls == ["step.py"]


HOSTS = re.compile(
    r"windows\.net|azure\.(com|net|us|cn)|microsoftonline|usgovcloudapi|chinacloudapi|azmk8s|graph\.microsoft",
    re.I,
)
# What is called like a host, and is the same name in every cloud: CSI drivers, and labels of AKS's nodes.
NO_HOSTS = re.compile(r"(disk|file|blob)\.csi\.azure\.com|kubernetes\.azure\.com")


def hosts_in(tree: ast.Module) -> list[str]:
    """Constants that name a host of Azure's, docstrings left out."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    texts = {
        id(body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, documented) and isinstance((body := node.body)[0], ast.Expr)
    }
    return [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and id(node) not in texts
        and HOSTS.search(NO_HOSTS.sub("", node.value))
        and "learn.microsoft.com" not in node.value
    ]


def test_the_public_clouds_hosts_are_constants_in_one_place_only() -> None:
    found = {(file.name, text) for file, tree in sources() for text in hosts_in(tree)}
    assert len([text for name, text in found if name == "clouds.py"]) == 10
    assert {name for name, _ in found} == {"clouds.py"}, found
    assert hosts_in(ast.parse('URL = f"https://{account}.blob.core.windows.net/"'))


def test_a_resource_has_one_home() -> None:
    """Its type stands in no other file, and no step says what is sent; `spec/` knows its own fields in ARM's words."""
    types = {kind.type.casefold() for kind in KINDS}
    elsewhere, bodies = [], []
    for file, tree in sources():
        if file.parent.name in ("resources", "spec"):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and str(node.value).casefold() in types:
                elsewhere.append(f"{file.name}:{node.lineno}: {node.value}")
            if isinstance(node, ast.Dict) and file.is_relative_to(ROOT / "tasks"):
                fields = {key.value for key in node.keys if isinstance(key, ast.Constant)}
                bodies += [f"{file.name}:{node.lineno}" for _ in fields & {"properties", "location", "sku"}]
    assert elsewhere == []
    assert bodies == []
    homes = {
        name for name, module in vars(kinds).items() if hasattr(module, "KIND") or hasattr(module, "RULE")
    }
    assert len(types) == len(KINDS) >= len(homes) > 10
    says = ("desired", "decision", "association")
    assert [name for name in sorted(homes) if not any(hasattr(vars(kinds)[name], one) for one in says)] == []


# Words that a reader who knows Azure, Kubernetes and Prefect would stumble over, and what is said instead.
RETIRED = {
    **{"Vault": "BackupAccount", "Place": "CheckedTarget", "Site": "Target", "Verdict": "Findings"},
    **{"vault": "account", "site": "target", "persistently": "with_retries"},
}


def test_no_name_is_of_the_words_that_are_retired() -> None:
    found = []
    for file, tree in sources():
        for node in ast.walk(tree):
            if isinstance(node, ast.Name | ast.arg | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                name = getattr(node, "id", getattr(node, "arg", getattr(node, "name", "")))
                found += [f"{file.name}:{node.lineno}: {name}" for _ in {name} & RETIRED.keys()]
    assert found == []


# They aren't waits: each does something again and again for as long as something lives, or pauses once.
REPEATED = {
    "runs/write_lock.py: _stay_awake": "notices a sleep",
    "runs/write_lock.py: _keep_beating": "writes the lock's heartbeat",
    "runs/progress.py: _report": "moves a progress bar",
    "cli/listing.py: watched": "shows what a person watches, until Ctrl-C",
    "kubernetes/_helm_process.py: watch": "ends Helm's process at its deadline; that file imports nothing of ours",
    "kubernetes/_helm_process.py: main": "answers one request after the other; a refusal is an answer, too",
}
LOOPS = ast.While | ast.For | ast.AsyncFor
FUNCTIONS = ast.FunctionDef | ast.AsyncFunctionDef


def waits_in(tree: ast.Module) -> set[str]:
    """The functions with a loop that pauses, or that goes round for ever over what it waits for without a pause."""
    found = set()
    for function in (node for node in ast.walk(tree) if isinstance(node, FUNCTIONS)):
        for loop in (node for node in ast.walk(function) if isinstance(node, LOOPS)):
            called = {
                ast.unparse(call.func).rpartition(".")[2]
                for call in ast.walk(loop)
                if isinstance(call, ast.Call)
            }
            # An `except` that goes round again is a retry, with or without a pause.
            again = isinstance(loop, ast.While) and any(
                isinstance(handler, ast.ExceptHandler) and not _leaves(handler) for handler in ast.walk(loop)
            )
            if called & {"sleep", "wait_for", "call_later", "select"} or again:
                found.add(function.name)
    return found


def _leaves(handler: ast.ExceptHandler) -> bool:
    """Whether the last thing a handler does ends the loop."""
    return isinstance(handler.body[-1], ast.Raise | ast.Return | ast.Break)


def test_every_wait_is_a_poll() -> None:
    found = {
        f"{file.parent.name}/{file.name}: {function}"
        for file, tree in sources()
        for function in waits_in(tree)
    }
    assert found == REPEATED.keys()


@pytest.mark.parametrize(
    "body",
    [
        "while not done():\n  await asyncio.sleep(1)",
        "for _ in range(9):\n  time.sleep(1)",
        "while True:\n  try:\n   return ask()\n  except Away:\n   if late(): raise",
    ],
)
def test_a_wait_of_ones_own_is_seen(body: str) -> None:
    source = "async def wait():\n" + "\n".join(f" {line}" for line in body.split("\n"))
    assert waits_in(ast.parse(source)) == {"wait"}


def test_only_the_poll_and_the_retry_are_driven_by_tenacity() -> None:
    found = {
        file.name
        for file, tree in sources()
        for node in ast.walk(tree)
        if (isinstance(node, ast.Import) and any(name.name == "tenacity" for name in node.names))
        or (isinstance(node, ast.ImportFrom) and str(node.module).partition(".")[0] == "tenacity")
    }
    assert found == {"poll.py", "retry.py"}


def test_an_errors_kind_is_told_by_its_class_and_not_by_its_module() -> None:
    found = [
        f"{file.name}:{node.lineno}"
        for file, tree in sources()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and node.attr == "__module__"
        and re.match(r"type\(|.*\.__class__$", ast.unparse(node.value))
    ]
    assert found == []


def test_provision_has_no_tear_down_in_it() -> None:
    """In a process of its own, as the other tests import everything."""
    code = "import sys, aks_postgres.flows.provision; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    words = ("tear_down", "clean_up", "_retirement", "inventory", "removal_plan")
    ours = [name for name in loaded.split() if name.startswith("aks_postgres.")]
    assert len(ours) > 50
    assert [name for name in ours if any(word in name for word in words)] == []


def test_the_diagram_of_provision_is_as_the_flow_starts_its_steps() -> None:
    page = diagram.PAGE.read_text()
    assert diagram.written(page) == page, "python -m tests.repository.diagram"


def test_the_diagram_draws_no_arrow_twice_and_puts_alike_steps_together() -> None:
    before = {"a": set[str](), "b": {"a"}, "c": {"a"}, "d": {"a", "b", "c"}}
    assert diagram.reduced(before)["d"] == {"b", "c"}
    shown = diagram.drawn(diagram.reduced(before))
    assert "    b[b,<br>c]\n    a --> b\n    b --> d\n" in shown


def test_a_step_is_called_alike_in_the_flow_in_plans_and_in_prefect() -> None:
    """A variable of the flow is its step's noun; only those that look may be called by what they find."""
    tree = ast.parse(Path(_environment.__file__).read_text())
    pairs = [
        (target.id, call.args[0].id)
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        for target in node.targets
        for call in ast.walk(node.value)
        if isinstance(call, ast.Call)
        and ast.unparse(call.func) == "start"
        and isinstance(target, ast.Name)
        and isinstance(call.args[0], ast.Name)
    ]
    assert len(pairs) > 30
    odd = [
        (variable, task)
        for variable, task in pairs
        if task.partition("_")[2] != variable and not vars(_environment)[task].fn.only_looks
    ]
    assert odd == []


SPECS = {"EnvironmentSpec", "DatabaseSpec"}


def test_a_spec_goes_down_and_only_outputs_come_back_up() -> None:
    """No step, flow or run hands one back, and no report holds one; a file that a person writes may."""
    runs = {"flows", "tasks", "runs", "tear_down"}
    found: list[str] = []
    for file, tree in sources():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and runs & set(file.parts):
                back: ast.AST | None = node.returns
            else:
                held = isinstance(node, ast.AnnAssign) and "reports" in file.parts
                back = node.annotation if held else None
            found += [f"{file.name}:{node.lineno}" for _ in (names_in(back) if back else set()) & SPECS]
    assert found == []
