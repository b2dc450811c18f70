"""Two recordings side by side: where one's answers have another shape, status, header or order than the other's.

How often something is asked differs from run to run, and names do. So answers are gathered by operation, status and
state: what they always hold, and what they ever hold; and the answers about one resource are a course, without
repetitions. Where both recordings hold as many answers, each is compared with its like. https://learn.microsoft.com/azure/azure-resource-manager/management/async-operations
"""

from __future__ import annotations

import itertools
import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel

from aks_postgres.files.given_files import read_given

Json = dict[str, Any]
Kind = Literal["status", "shape", "header", "order"]

_LARGEST_BYTES = 256 * 1024 * 1024
_STAND_IN = re.compile(r"(name|text|key|host)-\d+|0{8}-0000-0000-0000-\d{12}")
# Objects whose keys are somebody's own: each of theirs is one of a kind.
_ANY_KEY = re.compile(r"key-\d+|/subscriptions/.*|/providers/.*")


@dataclass(frozen=True, order=True)
class Difference:
    """Where the second recording's answers to an operation aren't like the first's."""

    operation: str
    kind: Kind
    text: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.text}"


def read_recording(folder: Path) -> list[Json]:
    """The exchanges of a folder's files, in their order.

    Raises:
        ValueError: there are none, or a line isn't an exchange; says where.
    """
    files = sorted(folder.glob("*.jsonl"))
    if not files:
        raise ValueError(f"{folder}: no recording (*.jsonl) is there")
    found: list[Json] = []
    for file in files:
        for number, line in enumerate(read_given(file, _LARGEST_BYTES).decode().splitlines(), 1):
            try:
                entry = json.loads(line)
            except ValueError:
                entry = None
            if not isinstance(entry, dict) or not (
                "recorded_by" in entry or "run" in entry or {"method", "path"} <= entry.keys()
            ):
                raise ValueError(f"{file}, line {number}: no exchange of a recording")
            if "method" in entry:
                found.append(entry)
    return found


def runs_in(folder: Path) -> list[tuple[str, Json]]:
    """The commands that a recording holds, in their order, each with what it keeps of its spec.

    An empty command is one that a sandbox can't repeat.

    Raises:
        ValueError: a line isn't one of a recording; says where.
    """
    lines = (
        json.loads(line)
        for file in sorted(folder.glob("*.jsonl"))
        for line in read_given(file, _LARGEST_BYTES).decode().splitlines()
        if line.startswith('{"run"')
    )
    return [(str(line["run"]), line["spec"] if isinstance(line.get("spec"), dict) else {}) for line in lines]


def repeatable(spec: BaseModel) -> Json:
    """Return what a recording keeps of a spec: what decides the shape of an environment, and nobody's own words.

    Numbers, switches, words that the spec itself offers, regions, VM sizes and Kubernetes versions; and only what isn't
    the default.
    """
    found: Json = {}
    for name, field in type(spec).model_fields.items():
        value, default = getattr(spec, name), field.get_default(call_default_factory=True)
        if value == default or name in _NOT_REPEATED:
            continue
        if isinstance(value, BaseModel):
            if inner := repeatable(value):
                found[name] = inner
        elif isinstance(value, bool | int) or name in _KEPT_TEXTS or _is_offered(field.annotation, value):
            found[name] = value
    return found


def own_words(spec: BaseModel) -> frozenset[str]:
    """Return the texts of a spec that are somebody's own: those that neither the spec nor Azure offers."""
    found: set[str] = set()
    for name, field in type(spec).model_fields.items():
        value, default = getattr(spec, name), field.get_default(call_default_factory=True)
        if isinstance(value, BaseModel):
            found |= own_words(value)
        elif value != default and name not in _KEPT_TEXTS and not _is_offered(field.annotation, value):
            found |= set(_texts(value))
    return frozenset(found)


def _texts(value: Any) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, BaseModel):
        yield from own_words(value)
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from (*_texts(key), *_texts(inner))
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _texts(inner)


# A database isn't made there without real servers, a limit needs its ranges, and nobody else gives roles there.
_NOT_REPEATED = ("database", "add_worker_address", "operator", "roles")
_KEPT_TEXTS = ("region", "vm_size", "kubernetes_version", "zones")


def _is_offered(annotation: Any, value: Any) -> bool:
    return get_origin(annotation) is Literal and value in get_args(annotation)


def differences(first: Sequence[Json], second: Sequence[Json], names: tuple[str, str]) -> list[Difference]:
    """Return what differs, by operation; an operation that only one of them has is one line.

    Args:
        first: the exchanges of one recording, such as Azure's.
        second: of the other, such as the sandbox's.
        names: what the two are called.
    """
    one, other = _by_operation(first), _by_operation(second)
    found: set[Difference] = set()
    for operation in one.keys() | other.keys():
        if operation in one and operation in other:
            found |= set(_compared(operation, one[operation], other[operation], names))
        else:
            only = names[operation in other]
            found.add(Difference(operation, "order", f"asked in {only}'s recording only"))
    courses, others = _courses(first), _courses(second)
    for resource in courses.keys() & others.keys():
        found |= set(_other_courses(resource, courses[resource], others[resource], names))
    return sorted(found)


def _compared(
    operation: str, one: list[Json], other: list[Json], names: tuple[str, str]
) -> Iterable[Difference]:
    groups, others = _groups(one), _groups(other)
    for group in sorted(groups.keys() ^ others.keys()):
        yield Difference(operation, "status", f"{group} in {names[group in others]}'s recording only")
    for group in sorted(groups.keys() & others.keys()):
        mine, theirs = groups[group], others[group]
        yield from _told(operation, "shape", group, map(_shape, mine), map(_shape, theirs), names)
        yield from _told(operation, "header", group, map(_headers, mine), map(_headers, theirs), names)


def _told(
    operation: str,
    kind: Kind,
    group: str,
    one: Iterable[frozenset[str]],
    other: Iterable[frozenset[str]],
    names: tuple[str, str],
) -> Iterable[Difference]:
    """Yield what the answers of a group ever hold and always hold, on one side only."""
    one, other = list(one), list(other)
    ever, always = frozenset[str]().union(*one), frozenset.intersection(*one)
    ever_too, always_too = frozenset[str]().union(*other), frozenset.intersection(*other)
    for fact in sorted(ever ^ ever_too):
        yield Difference(operation, kind, f"{group}: {fact} in {names[fact in ever_too]}'s answers only")
    for fact in sorted((always ^ always_too) & ever & ever_too):
        yield Difference(operation, kind, f"{group}: {fact} not in all of {names[fact in always]}'s answers")


_Course = tuple[tuple[str, str], ...]


def _courses(entries: Iterable[Json]) -> dict[str, Counter[_Course]]:
    """Return what was answered about each resource, one after the other, by the resource's kind."""
    by_path: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)
    for entry in entries:
        step = (f"{entry['method']} {_outcome(entry)}", _fingerprint(entry))
        by_path[str(entry["path"]).partition("?")[0]].append(step)
    found: defaultdict[str, Counter[_Course]] = defaultdict(Counter)
    for path, course in by_path.items():
        found[_plain(path)][tuple(course)] += 1
    return dict(found)


def _without_repetitions(courses: Counter[_Course]) -> Counter[_Course]:
    found: Counter[_Course] = Counter()
    for course, count in courses.items():
        found[tuple(step for step, _ in itertools.groupby(course))] += count
    return found


def _other_courses(
    resource: str, one: Counter[_Course], other: Counter[_Course], names: tuple[str, str]
) -> Iterable[Difference]:
    if sum(map(len, one.elements())) != sum(map(len, other.elements())):
        one, other = _without_repetitions(one), _without_repetitions(other)
    if one == other:
        return
    told, more = _outcomes(one), _outcomes(other)
    for course in sorted((told - more).keys() | (more - told).keys()):
        text = f"{' -> '.join(course)}: of {told[course]} in {names[0]}'s recording, of {more[course]} in {names[1]}'s"
        yield Difference(resource, "order", text)
    if told == more:
        text = "the answers about one of them, one after the other, have other fields or headers"
        yield Difference(resource, "shape", text)


def _outcomes(courses: Counter[_Course]) -> Counter[tuple[str, ...]]:
    found: Counter[tuple[str, ...]] = Counter()
    for course, count in courses.items():
        outcomes = [outcome for outcome, _ in course]
        found[tuple(outcome for outcome, _ in itertools.groupby(outcomes))] += count
    return found


def _by_operation(entries: Iterable[Json]) -> dict[str, list[Json]]:
    found: defaultdict[str, list[Json]] = defaultdict(list)
    for entry in entries:
        found[operation_of(entry)].append(entry)
    return found


def operation_of(entry: Mapping[str, Any]) -> str:
    """Method and path without names, and the API version: what the operation is, whosever resource it is about."""
    path, _, query = str(entry["path"]).partition("?")
    version = re.search(r"(?:^|&)api-version=([^&]*)", query)
    return f"{entry['method']} {_plain(path)}" + (f" ({version[1]})" if version else "")


def _plain(path: str) -> str:
    return "/".join("*" if _STAND_IN.fullmatch(part) else part for part in path.split("/"))


def _groups(entries: Iterable[Json]) -> dict[str, list[Json]]:
    """Answers by what they say of success: the status, a resource's or an operation's state, an error's code."""
    found: defaultdict[str, list[Json]] = defaultdict(list)
    for entry in entries:
        found[_outcome(entry)].append(entry)
    return found


def _outcome(entry: Json) -> str:
    if "status" not in entry:
        return f"no answer ({entry.get('no_answer')})"
    body = entry.get("body")
    body = body if isinstance(body, dict) else {}
    properties, error = body.get("properties"), body.get("error")
    state = (properties if isinstance(properties, dict) else {}).get("provisioningState") or body.get(
        "status"
    )
    code = (error if isinstance(error, dict) else {}).get("code") or body.get("code") or body.get("reason")
    said = code if isinstance(code, str) and entry["status"] >= 400 else state
    return f"{entry['status']}" + (f" {said}" if isinstance(said, str) else "")


def _headers(entry: Json) -> frozenset[str]:
    """Each header with the kind of its value."""
    return frozenset(f"{key}={_kind_of_header(value)}" for key, value in (entry.get("headers") or {}).items())


def _kind_of_header(value: Any) -> str:
    text = str(value)
    if text.startswith("https://"):
        return re.sub(_STAND_IN, "*", text.partition("?")[0])
    return "number" if text.isdigit() else text.split(";")[0]


def _shape(entry: Json) -> frozenset[str]:
    return frozenset(_facts(entry.get("body"), ""))


def _facts(value: Any, path: str) -> Iterable[str]:
    """Every place of a body with its type; the entries of a list are one place."""
    if isinstance(value, dict):
        yield f"{path or 'the body'} is an object"
        for key, inner in value.items():
            name = "*" if _ANY_KEY.fullmatch(key) else key
            yield from _facts(inner, f"{path}.{name}" if path else name)
    elif isinstance(value, list):
        yield f"{path or 'the body'} is a list"
        for inner in value:
            yield from _facts(inner, f"{path}[]")
    else:
        yield f"{path or 'the body'} is {_type(value)}"


def _fingerprint(entry: Json) -> str:
    """Return what tells the form of this answer from any other, to each entry of its lists."""
    return json.dumps([sorted(_headers(entry)), _form(entry.get("body"))])


def _form(value: Any) -> Any:
    if isinstance(value, dict):
        named = [("*" if _ANY_KEY.fullmatch(key) else key, _form(inner)) for key, inner in value.items()]
        return {"object": sorted(named, key=json.dumps)}
    if isinstance(value, list):
        return sorted((_form(inner) for inner in value), key=json.dumps)
    return _type(value)


def _type(value: Any) -> str:
    if value is None:
        return "null"
    names = {bool: "true or false", int: "a number", float: "a number", str: "a text"}
    return names.get(type(value), "unknown")
