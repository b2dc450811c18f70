"""What is wrong with a spec, one line a field: where, what was given, what is allowed."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Sequence
from copy import deepcopy
from functools import partial
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from aks_postgres.foreign_text import holds_secret
from aks_postgres.spec.environment import EnvironmentSpec

_MAX_SHOWN = 60

# What people look for by names like these, and why it isn't there.
_NOT_OFFERED = re.compile(r"(enable_?)?private_?(api_?server|cluster)(_?enabled)?", re.I)
_PRIVATE = (
    "a private API server isn't offered: a run has to reach the API server, so its worker would have to stand inside "
    "that network, and no such run was ever proved. Limit who reaches it with network.authorized_ip_ranges, and who "
    "gets in with cluster.access"
)

# What pydantic says in Python's words: https://docs.pydantic.dev/latest/errors/validation_errors/
_EXPECTED = {
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "dict_type": "a mapping, such as {{owner: data}},",
    "list_type": "a list, such as [a, b],",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "greater_than": "more than {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than": "less than {lt}",
    "less_than_equal": "at most {le}",
}


class SpecProblem(BaseModel):
    """One thing that a spec gets wrong."""

    field: str
    given: str
    allowed: str

    def __str__(self) -> str:
        return f"{self.field}: {self.given} was given; {self.allowed}"


class SpecError(ValueError):
    """The spec can't be used; nothing was written. Holds every problem found, not only the first."""

    def __init__(self, problems: list[SpecProblem], what: str = "the spec") -> None:
        self.problems = problems
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        lines = "\n".join(f"  - {problem}" for problem in problems)
        super().__init__(f"{what} has {count}; nothing was written:\n{lines}")


def spec_from(given: Any) -> EnvironmentSpec:
    """Make a spec of what a person gave.

    Args:
        given: a mapping as read from YAML or JSON.

    Raises:
        SpecError: with all problems at once.
    """
    if not isinstance(given, dict):
        raise SpecError(
            [SpecProblem(field="spec", given=shown(given), allowed="a mapping of fields is expected")]
        )
    try:
        return EnvironmentSpec.model_validate(given)
    except ValidationError as error:
        raise SpecError(problems_of(error, given)) from None


def refuse_twice(regions: Sequence[str]) -> None:
    """See that a fleet has each region once.

    Raises:
        SpecError: it has one more often.
    """
    twice = sorted({region for region in regions if regions.count(region) > 1})
    if twice:
        problems = [
            SpecProblem(field="regions", given=f"{region} more than once", allowed="give each region once")
            for region in twice
        ]
        raise SpecError(problems, "the list of regions")


def problems_of(
    error: ValidationError, given: Any, model: type[BaseModel] = EnvironmentSpec
) -> list[SpecProblem]:
    """The problems in pydantic's error, in our words, and those behind them.

    Args:
        error: what pydantic raised.
        given: what was validated.
        model: against what.
    """
    errors = error.errors(include_url=False)
    return [
        SpecProblem(
            field=_printable(".".join(str(part) for part in found["loc"])) or "spec",
            given=shown(found["input"]),
            allowed=_printable(_allowed(found, [str(part) for part in found["loc"]], model)),
        )
        for found in [*errors, *_hidden(errors, given, model)]
    ]


def _hidden(errors: Sequence[ErrorDetails], given: Any, model: type[BaseModel]) -> list[ErrorDetails]:
    """What is wrong with the rest of a mapping or list, which nobody looks at while one entry has a wrong type."""
    places = {found["loc"][:-1] if found["loc"][-1:] == ("[key]",) else found["loc"] for found in errors}
    broken = [
        place
        for place in places
        if len(place) > 1 and _model_at([str(part) for part in place[:-1]], model) is None
    ]
    if not broken:
        return []
    try:
        rest = deepcopy(given)
        # From the end, as the entries of a list move up.
        for *path, last in sorted(broken, key=_order, reverse=True):
            holder = rest
            for part in path:
                holder = holder[part]
            del holder[last]
        model.model_validate(rest)
    except ValidationError as error:
        holders = {loc[:-1] for loc in broken}
        return [
            found
            for found in error.errors(include_url=False)
            if found["loc"] in holders and found["type"] == "value_error"
        ]
    except (LookupError, RecursionError, TypeError):  # nothing that can be left out
        pass
    return []


def _order(place: tuple[int | str, ...]) -> list[tuple[int, str]]:
    return [(part if isinstance(part, int) else 0, str(part)) for part in place]


def shown(given: Any) -> str:
    """A value as a message shows it: short, printable, and not at all if it may be a secret."""
    if isinstance(given, str) and "PRIVATE KEY" in given:
        return "a private key (not shown)"
    if holds_secret(given):
        return "what may be a secret (not shown)"
    text = "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in _printable(_as_text(given)))
    return text if len(text) <= _MAX_SHOWN else text[: _MAX_SHOWN - 3] + "..."


def _as_text(given: Any) -> str:
    if isinstance(given, BaseModel):
        given = given.model_dump()
    # YAML has more than JSON: dates as keys, anchors that hold themselves, integers of any length.
    for write in (partial(json.dumps, ensure_ascii=False, default=str), repr):
        try:
            return write(given)
        except (TypeError, ValueError, RecursionError):
            continue
    return f"a value of type {type(given).__name__}"


def _printable(text: str) -> str:
    # Half a surrogate pair can be given and can't be printed.
    return text.encode("utf-8", "backslashreplace").decode()


def _allowed(found: ErrorDetails, path: list[str], root: type[BaseModel]) -> str:
    kind, context = found["type"], found.get("ctx", {})
    if kind == "extra_forbidden" and _NOT_OFFERED.fullmatch(path[-1]):
        return _PRIVATE
    if kind == "extra_forbidden":
        fields = _fields_of(_model_at(path[:-1], root))
        meant = difflib.get_close_matches(path[-1].casefold().replace("-", "_"), fields, n=1)
        hint = f"did you mean {meant[0]}? Allowed" if meant else "allowed"
        return f"there is no such field; {hint} here: {', '.join(fields)}"
    if kind == "value_error":
        return str(context["error"])
    if kind in ("model_type", "model_attributes_type"):
        return f"a mapping of these fields is expected: {', '.join(_fields_of(_model_at(path, root)))}"
    if kind == "literal_error" and f"'{found['input']}'" in context["expected"]:
        return f'text is expected: in YAML, put it in quotes, "{found["input"]}"'
    if kind == "string_type":
        return "text is expected (in YAML, quotes make a number text)"
    if kind == "string_pattern_mismatch":
        hint = _description(path, root)
        return f"it must match {context['pattern']}" + (f" ({hint})" if hint else "")
    if kind == "literal_error":
        return f"{context['expected']} is expected"
    if kind in _EXPECTED:
        return f"{_EXPECTED[kind].format(**context)} is expected"
    message: str = found["msg"]
    return message[0].lower() + message[1:]


def _model_at(path: list[str], root: type[BaseModel]) -> type[BaseModel] | None:
    model: Any = root
    for part in path:
        if re.fullmatch(r"\d+", part):
            continue
        field = model.model_fields.get(part)
        if field is None:
            return None
        model = field.annotation
        for argument in getattr(model, "__args__", ()):
            if isinstance(argument, type) and issubclass(argument, BaseModel):
                model = argument
        if not (isinstance(model, type) and issubclass(model, BaseModel)):
            return None
    found: type[BaseModel] = model
    return found


def _fields_of(model: type[BaseModel] | None) -> list[str]:
    return list(model.model_fields) if model else []


def _description(path: list[str], root: type[BaseModel]) -> str:
    model = _model_at(path[:-1], root)
    field = model.model_fields.get(path[-1]) if model else None
    return (field.description or "").rstrip(".") if field else ""
