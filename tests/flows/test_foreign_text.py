"""Every place that shows what others wrote, with every kind of sign that isn't to be shown."""

import inspect
from collections.abc import Callable
from contextlib import suppress
from datetime import date
from io import StringIO
from typing import Any
from xml.etree import ElementTree

import pytest
from markdown_it import MarkdownIt
from rich.console import Console

from aks_postgres.arm.responses import ArmFault
from aks_postgres.arm.retry import refusal
from aks_postgres.cli.progress import LiveProgress, PlainProgress
from aks_postgres.errors import Finding, ImmutableChange
from aks_postgres.preflight.errors import PreflightFailed, UnknownRegion
from aks_postgres.reports import outputs as outputs_module
from aks_postgres.reports.journal import Journal, use_journal
from aks_postgres.reports.outputs import Change, EnvironmentOutputs, FieldChange, Outputs
from aks_postgres.reports.plan import PlannedStep
from aks_postgres.reports.rebuild import Addresses
from aks_postgres.reports.receipt import Receipt, Removal, Removals
from aks_postgres.runs.rebuild_text import addresses_table
from aks_postgres.runs.receipt_text import receipt_text
from aks_postgres.runs.summary import summary
from aks_postgres.runs.timeline import Bar, timeline_svg, timeline_table
from aks_postgres.spec.environment import EnvironmentSpec
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


PLACES: dict[str, Callable[[str], str]] = {
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


def test_every_output_goes_through_the_same_check() -> None:
    kinds = [
        kind for _, kind in inspect.getmembers(outputs_module, inspect.isclass) if issubclass(kind, Outputs)
    ]
    assert len(kinds) > 10
    assert all("_shown" in kind.__pydantic_decorators__.field_validators for kind in kinds)


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


PAGES: dict[str, Callable[[str], str]] = {"receipt": receipt, "addresses": addresses, "timeline": timeline}
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
        }
    )
    book = Journal()
    with use_journal(book, in_charge=True), book.step("step"):
        book.note(f"note {text}")
        book.ended("done")
    return summary(spec, changed, book.events, "critical path")
