"""Every place that shows what others wrote, with every kind of sign that isn't to be shown."""

import ast
import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout, suppress
from datetime import date
from io import StringIO
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin
from xml.etree import ElementTree

import pytest
from markdown_it import MarkdownIt
from pydantic import BaseModel
from rich.console import Console

import aks_postgres
from aks_postgres.arm.responses import ArmFault
from aks_postgres.arm.retry import refusal
from aks_postgres.cli.columns import table
from aks_postgres.cli.doctor import print_checks
from aks_postgres.cli.last_screen import last_screen
from aks_postgres.cli.listing import environments_table, status_lines
from aks_postgres.cli.plan_text import print_plan, print_text
from aks_postgres.cli.progress import LiveProgress, PlainProgress
from aks_postgres.errors import Finding, ImmutableChange
from aks_postgres.flows._listing import Status
from aks_postgres.flows.plan import cost_rows
from aks_postgres.preflight.errors import PreflightFailed, UnknownRegion
from aks_postgres.reports.cost import Cost
from aks_postgres.reports.database_status import FoundDatabase
from aks_postgres.reports.diagnosis import Check, Diagnosis
from aks_postgres.reports.fleet import Fleet
from aks_postgres.reports.journal import Event, Journal, use_journal
from aks_postgres.reports.listing import FoundEnvironment
from aks_postgres.reports.outputs import Change, DatabaseOutputs, EnvironmentOutputs, FieldChange, Outputs
from aks_postgres.reports.plan import PlannedStep
from aks_postgres.reports.plan_view import PlanView
from aks_postgres.reports.rebuild import Addresses, RebuildPlan, Rebuilt
from aks_postgres.reports.receipt import Receipt, Removal, Removals
from aks_postgres.runs.plan_lines import markdown, plan_lines
from aks_postgres.runs.progress import progress_text
from aks_postgres.runs.rebuild_text import addresses_table, plan_text, rebuilt_text
from aks_postgres.runs.receipt_text import receipt_text
from aks_postgres.runs.summary import database_lines, summary
from aks_postgres.runs.timeline import Bar, timeline_svg, timeline_table
from aks_postgres.spec.environment import EnvironmentSpec
from aks_postgres.spec.names import Names
from aks_postgres.tear_down.errors import TearDownRefused

from ..repository.our_errors import every_error

SIGNS = {
    "colour": "\x1b[31m",
    "clear": "\x1b[2J\x1b[H",
    "title": "\x1b]0;t\x07",
    "link": "\x1b]8;;https://x.example\x1b\\",
    "C1": "\x9b1A",
    "backspace": "\x08",
    "bell": "\x07",
    "carriage return": "\r",
    "null": "\x00",
    "right to left": "\u202e",
    "isolate": "\u2066",
    "mark": "\u200f",
    "zero width": "\u200b",
    "joiner": "\u2060",
    "soft hyphen": "\u00ad",
    "tag": "\U000e0041",
    "filler": "\u3164",
    "variation": "\ufe0f",
    "private": "\ue000",
    "unassigned": "\U000fffff",
    "separator": "\u2028",
    "byte order mark": "\ufeff",
    "surrogate": "\ud800",
}
MARKUP = [
    "<script>alert(1)</script>",
    "<img src=x>",
    "[a](https://x.example)",
    "![a](https://x.example)",
    "**a**",
    "`a`",
    "a|b",
    "x\n\n# H\n\n- a",
    "<!--",
    "&lt;b>",
]


def is_clean(text: str) -> bool:
    return all(sign.isprintable() or sign == "\n" for sign in text) and not any(
        sign in text for sign in SIGNS.values() if len(sign) == 1
    )


M = TypeVar("M", bound=Outputs)
SPEC = EnvironmentSpec()
ENVIRONMENT = {"place": {"names": Names.of(SPEC, "6b1f0f60-4a4a-4c11-9d0e-0a1b2c3d4e5f", 1)}}


def filled(kind: type[M], text: str, **given: Any) -> M:
    """One whose every text is this one, whatever fields it has; `given` are those that aren't, by field."""
    values = {
        name: given[name]
        if name in given and not isinstance(given[name], dict)
        else _value(field.annotation, text, given.get(name, {}))
        for name, field in kind.model_fields.items()
    }
    return kind(**values)


def _value(wanted: Any, text: str, given: dict[str, Any]) -> Any:
    origin, inner = get_origin(wanted), get_args(wanted)
    if origin in (Union, UnionType):
        return _value(next(one for one in inner if one is not NoneType), text, given)
    if origin is tuple:
        return (_value(inner[0], text, given),)
    if origin is Literal:
        return inner[0]
    if isinstance(wanted, type) and issubclass(wanted, BaseModel):
        return filled(wanted, text, **given)  # type: ignore[type-var]  # all are Outputs
    if wanted in (str, Any):
        return text
    if wanted in (int, float, bool):
        return wanted(1)
    return {} if origin is dict else None


def _texts_of(kind: type[Exception]) -> int:
    """How many texts an error is made of."""
    made = vars(kind).get("__init__")
    if made is None:
        return 1
    named = inspect.Parameter.POSITIONAL_OR_KEYWORD
    return sum(one.kind is named for one in inspect.signature(made).parameters.values()) - 1


def _keywords_of(kind: type[Exception]) -> list[str]:
    """What an error is given by keyword only."""
    named = inspect.Parameter.KEYWORD_ONLY
    return [name for name, one in inspect.signature(kind).parameters.items() if one.kind is named]


def _error(text: str) -> str:
    return "".join(
        str(kind(*[text] * _texts_of(kind), **dict.fromkeys(_keywords_of(kind), text)))
        for kind in every_error().values()
        if kind not in (PreflightFailed, UnknownRegion, TearDownRefused, ImmutableChange)
    ) + "".join(
        [
            str(PreflightFailed([Finding(text, text)])),
            str(UnknownRegion([Finding(text, text)])),
            str(TearDownRefused("x", [Finding(text, text)])),
            str(ImmutableChange(text, [FieldChange(field=text, old=text, new=text)], text)),
        ]
    )


def _fault(text: str) -> str:
    body = {"error": {"code": text, "message": text, "details": [{"code": text, "message": text}]}}
    fault = ArmFault.of_body(body, status=400, correlation_id=text)
    return str(fault) + fault.code + str(refusal("x", fault))


def _journal(text: str) -> str:
    lines: list[str] = []

    def log(_: int, line: str) -> None:
        lines.append(line)

    with use_journal(Journal()) as book, suppress(ValueError), book.step("step", log):
        book.note(text)
        book.conflict(text)
        book.waiting(text)
        book.ended("updated", text)
        raise ValueError(f"x{text}")
    wait = book.last_wait("step")
    assert wait is not None
    return "".join([*lines, *(event.text for event in book.events), wait.text])


def _outputs(text: str) -> str:
    change = Change(kind="updated", fields=(FieldChange(field=text, old={text: [text]}, new=(text,)),))
    step = PlannedStep(step="x", action="can't", reason=text, fields=change.fields)
    removal = Removal(what="x", name=text, id=text, outcome="kept", reason=text)
    parts = [str(change), step.reason, str(Removals(items=(removal,))), removal.reason, removal.id]
    for made in (change.fields[0], step, removal):
        parts += map(str, made.model_dump().values())
    return "".join(parts).replace("\\n", "")


def _plain(text: str) -> str:
    return _terminal(text, lambda console: PlainProgress(console, Journal(), verbose=True))


def _live(text: str) -> str:
    return _terminal(text, lambda console: LiveProgress(console, Journal(), verbose=True))


def _terminal(text: str, view: Callable[[Console], Any]) -> str:
    written = StringIO()
    console = Console(file=written, width=200, color_system=None, force_terminal=False)
    book = Journal()
    with view(console) as shown, use_journal(book, in_charge=True):
        book.subscribe(shown)
        with book.step("step"):
            book.note(text)
            book.conflict(text)
            book.ended("updated", text)
    return written.getvalue()


def written_by(write: Callable[[], Any]) -> str:
    """What a command prints, on both outputs."""
    written = StringIO()
    with redirect_stdout(written), redirect_stderr(written):
        write()
    return written.getvalue()


def _last_screen(text: str) -> str:
    made = filled(EnvironmentOutputs, text, **ENVIRONMENT)
    return last_screen(SPEC, made, {"The run": text})


def plan(text: str) -> PlanView:
    return filled(PlanView, text, version=1, cost=filled(Cost, text), cost_now=None)


def _plan(text: str) -> str:
    return written_by(lambda: print_plan(plan(text), arm_paths=True, everything=True))


def _list(text: str) -> str:
    return "\n".join(environments_table([filled(FoundEnvironment, text)], None))


def _status(text: str) -> str:
    found = Status(
        (filled(FoundEnvironment, text),),
        filled(Addresses, text),
        (filled(FoundDatabase, text, archiving="False"),),
        unknown=text,
    )
    return "\n".join(status_lines(SPEC, found, found.generations, None))


def _doctor(text: str) -> str:
    found = Diagnosis(environment=text, checks=(filled(Check, text),))
    return written_by(lambda: print_checks(found))


def _fleet(text: str) -> str:
    rows = [(run.region, run.state, "1.0", run.failure) for run in filled(Fleet, text).regions]
    return "\n".join(table(["REGION", "STATE", "MINUTES", "WHAT FAILED"], rows))


TERMINAL: dict[str, Callable[[str], str]] = {
    "last screen": _last_screen,
    "plan": _plan,
    "lines of a rebuild's plan": lambda text: written_by(lambda: print_text([text], to_error=False)),
    "list": _list,
    "status": _status,
    "doctor": _doctor,
    "fleet": _fleet,
}


PLACES: dict[str, Callable[[str], str]] = {
    **TERMINAL,
    "errors": _error,
    "faults": _fault,
    "journal and log": _journal,
    "outputs": _outputs,
    "plain terminal": _plain,
    "live terminal": _live,
}


@pytest.mark.parametrize("sign", SIGNS)
@pytest.mark.parametrize("place", PLACES)
def test_no_place_shows_a_sign_that_isnt_to_be_read(place: str, sign: str) -> None:
    found = PLACES[place](f"before{SIGNS[sign]}after")
    assert "before" in found
    assert "after" in found
    assert is_clean(found)


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\x0b", "\x85", "\u2028", "\n\n"])
@pytest.mark.parametrize("place", TERMINAL)
def test_nothing_foreign_begins_a_line_on_the_terminal(place: str, ending: str) -> None:
    """It would pass for a line of ours, such as `health  as it should be`."""
    found = TERMINAL[place](f"before{ending}after")
    assert len(found.splitlines()) == len(TERMINAL[place]("before after").splitlines())
    assert not any(line.startswith("after") for line in found.splitlines())


def every_output() -> Iterator[type[Outputs]]:
    """All classes of outputs, wherever they are."""
    for module in pkgutil.walk_packages(aks_postgres.__path__, "aks_postgres."):
        importlib.import_module(module.name)
    kinds = [Outputs]
    for kind in kinds:
        kinds += kind.__subclasses__()
    yield from kinds


def check_of(kind: type[Outputs]) -> Any:
    found: Any = kind.__pydantic_decorators__.field_validators["_shown"]
    return found.func.__func__


def test_every_output_goes_through_the_same_check() -> None:
    kinds = {f"{kind.__module__}.{kind.__qualname__}": kind for kind in every_output()}
    homes = {kind.__module__ for kind in kinds.values()}
    assert {"aks_postgres.reports.plan_view", "aks_postgres.reports.listing"} <= homes
    assert len(kinds) > 50
    unchecked = [
        name
        for name, kind in kinds.items()
        if check_of(kind) is not check_of(Outputs) or kind.model_config.get("extra") == "allow"
    ]
    assert unchecked == []


def removal(text: str) -> Removal:
    return Removal(what=text, name=text, id=text, outcome="kept", reason=text, purged_by=date(2026, 11, 28))


def receipt(text: str) -> str:
    return receipt_text(
        Receipt(
            environment="x",
            subscription=text,
            generations=(1,),
            deleted=(removal(text),),
            soft_deleted=(),
            kept=(removal(text),),
            not_found=(),
            failures=(text,),
        )
    )


def addresses(text: str) -> str:
    one = Addresses(
        generation=1,
        cluster=text,
        api_server=text,
        oidc_issuer=text,
        public_ip=text,
        grafana=text,
        identity_client_id=text,
        identity_principal_id=text,
    )
    return addresses_table(one, one)


def timeline(text: str) -> str:
    bar = Bar("step", 0, 1, "done", waits=(text,), is_critical=True)
    return timeline_table([bar], every_step=True)


def rebuild_plan(text: str) -> str:
    return plan_text(filled(RebuildPlan, text, view=plan(text), cost=filled(Cost, "one")))


def rebuilt(text: str) -> str:
    found = filled(Rebuilt, text, outputs=ENVIRONMENT)
    return rebuilt_text(SPEC, found)


def progress(text: str) -> str:
    return progress_text("step", Event(0, "step", "waiting", text, 60, 120))


def cells(rows: list[dict[str, Any]]) -> str:
    """A table artifact: the UI shows each text in it as Markdown."""
    return "\n\n".join(str(cell) for row in rows for cell in row.values())


PAGES: dict[str, Callable[[str], str]] = {
    "table of costs": lambda text: cells(cost_rows(filled(Cost, text))),
    "table of a fleet": lambda text: cells(filled(Fleet, text).rows()),
    "receipt": receipt,
    "addresses": addresses,
    "timeline": timeline,
    "plan": lambda text: markdown(plan_lines(plan(text), arm_paths=True, everything=True)),
    "rebuild's plan": rebuild_plan,
    "rebuilt": rebuilt,
    "database": lambda text: database_lines(filled(DatabaseOutputs, text, dashboard=f"https://{text}")),
    "progress": progress,
}
# What each artifact of the product holds, and what tries that; the last argument but for keys is the text.
ARTIFACTS = {
    "runs/progress.py: description=text": "progress",
    "runs/timeline.py: f'{timeline_picture(spec, found)}\\n\\n{timeline_table(found, every_step=True)}'": "timeline",
    "flows/deploy_database.py: database_lines(outputs)": "database",
    "flows/plan.py: markdown(plan_lines(view))": "plan",
    "flows/plan.py: cost_rows(view.cost)": "table of costs",
    "flows/provision.py: summary(spec, outputs, journal.events, timeline_table(timeline), "
    "timeline_picture(spec, timeline))": "the summary",
    "flows/provision_fleet.py: fleet.rows()": "table of a fleet",
    "flows/rebuild.py: text": "rebuild's plan",
    "flows/rebuild.py: rebuilt_text(spec, rebuilt)": "rebuilt",
    "flows/tear_down.py: receipt_text(receipt)": "receipt",
}


def artifacts() -> Iterator[str]:
    """Where the product makes or updates an artifact, and of what."""
    package = Path(aks_postgres.__file__).parent
    for file in [
        *package.rglob("*.py"),
        *(package / "flows").glob("*.py"),
        *(package / "tasks").rglob("*.py"),
    ]:
        for node in ast.walk(ast.parse(file.read_text())):
            name = ast.unparse(node.func).rpartition(".")[2] if isinstance(node, ast.Call) else ""
            if isinstance(node, ast.Call) and name.endswith("_artifact"):
                text = node.args[0] if "progress" not in name else None
                described = [ast.unparse(one) for one in node.keywords if one.arg == "description"]
                yield f"{file.relative_to(package)}: {ast.unparse(text) if text else described[0]}"


def test_every_artifact_of_the_product_is_tried() -> None:
    """Else its text is shown unescaped one day."""
    assert set(artifacts()) == set(ARTIFACTS)
    assert set(ARTIFACTS.values()) <= {*PAGES, *PLACES, "the summary"}


RENDERER = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])


def skeleton(page: str) -> list[str]:
    """What the page is made of, without its texts."""
    return [
        token.type
        for block in RENDERER.parse(page)
        for token in [block, *(block.children or [])]
        if token.type not in ("text", "text_special")
    ]


@pytest.mark.parametrize("markup", [*MARKUP, *SIGNS.values()])
@pytest.mark.parametrize("page", PAGES)
def test_foreign_markup_changes_no_page(page: str, markup: str) -> None:
    assert skeleton(PAGES[page](f"a{markup}a")) == skeleton(PAGES[page]("plain"))
    assert is_clean(PAGES[page](f"a{markup}a"))


@pytest.mark.parametrize("markup", [*MARKUP, *SIGNS.values()])
def test_foreign_markup_is_text_in_the_picture(markup: str) -> None:
    picture = timeline_svg([Bar("step", 0, 1, "done", waits=(markup,), is_critical=True)], "title")
    ElementTree.fromstring(picture)
    assert "script" not in picture


@pytest.mark.usefixtures("prefect_api")
async def test_foreign_markup_changes_no_summary(
    spec: EnvironmentSpec, environment: EnvironmentOutputs
) -> None:
    plain = skeleton(_summary(spec, environment, "plain"))
    for markup in [*MARKUP, *SIGNS.values()]:
        page = _summary(spec, environment, f"a{markup}a")
        assert skeleton(page) == plain, markup
        assert is_clean(page)


def _summary(spec: EnvironmentSpec, made: EnvironmentOutputs, text: str) -> str:
    """The summary of an environment in which everything that Azure said is `text`."""

    def with_text(model: Any, **fields: Any) -> Any:
        return type(model).model_validate({**dict(model), **fields})

    changed = made.model_copy(
        update={
            "place": with_text(made.place, subscription_name=text, warnings=(text,)),
            "grafana": with_text(made.grafana, name=text, endpoint=f"https://{text}"),
            "cluster": with_text(
                made.cluster, name=text, kubernetes_version=text, oidc_issuer_url=f"https://{text}"
            ),
            "public_ip": with_text(made.public_ip, name=text, id=text, ip_address=text),
            "operator": with_text(made.operator, version=text, deployment=text),
            "storage_account": with_text(made.storage_account, blob_endpoint=text),
            "database": filled(DatabaseOutputs, text, dashboard=f"https://{text}"),
        }
    )
    book = Journal()
    with use_journal(book, in_charge=True), book.step("step"):
        book.note(f"note {text}")
        book.ended("done")
    return summary(spec, changed, book.events, "critical path")
