"""Label and field selectors of lists, watches and collections' deletions.

https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors
"""

import re
from collections.abc import Callable
from typing import Any

from azure_sandbox.kubernetes.errors import bad_request

Json = dict[str, Any]
Matches = Callable[[Json], bool]

_SET = re.compile(r"^(?P<key>[^\s!=<>()]+)\s+(?P<operator>in|notin)\s*\((?P<values>[^)]*)\)$")
_EQUAL = re.compile(r"^(?P<key>[^\s!=<>()]+)\s*(?P<operator>==|=|!=)\s*(?P<value>[^\s=!]*)$")
_EXISTS = re.compile(r"^(?P<not>!?)\s*(?P<key>[^\s!=<>()]+)$")


def label_selector(text: str) -> Matches:
    """A test of an object's labels.

    Raises:
        ApiError: 400 when the text is no selector.
    """
    tests = [_requirement(part.strip(), text) for part in _split(text) if part.strip()]
    return lambda obj: all(test(obj["metadata"].get("labels") or {}) for test in tests)


def _split(text: str) -> list[str]:
    return re.split(r",(?![^(]*\))", text)


def _requirement(part: str, whole: str) -> Callable[[Json], bool]:
    if found := _SET.match(part):
        key, values = found["key"], {value.strip() for value in found["values"].split(",")}
        if found["operator"] == "in":
            return lambda labels: labels.get(key) in values
        return lambda labels: labels.get(key) not in values
    if found := _EQUAL.match(part):
        key, value = found["key"], found["value"]
        if found["operator"] == "!=":
            return lambda labels: labels.get(key) != value
        return lambda labels: labels.get(key) == value
    if found := _EXISTS.match(part):
        key, absent = found["key"], bool(found["not"])
        return lambda labels: (key in labels) is not absent
    raise bad_request(f"unable to parse requirement: found '{part}' in '{whole}', expected a label selector")


def matches_labels(selector: Json | None, labels: Json | None) -> bool:
    """Whether a LabelSelector object selects labels; an empty one selects everything, None nothing."""
    if selector is None:
        return False
    labels = labels or {}
    if any(labels.get(key) != value for key, value in (selector.get("matchLabels") or {}).items()):
        return False
    return all(matches_expression(item, labels) for item in selector.get("matchExpressions") or [])


def matches_expression(expression: Json, labels: Json) -> bool:
    """One expression of a selector or of a node affinity term."""
    key, values = expression["key"], expression.get("values") or []
    operator = expression["operator"]
    if operator == "In":
        return labels.get(key) in values
    if operator == "NotIn":
        return labels.get(key) not in values
    if operator == "Exists":
        return key in labels
    if operator == "DoesNotExist":
        return key not in labels
    if operator in ("Gt", "Lt"):
        try:
            found, wanted = int(labels.get(key, "")), int(values[0])
        except ValueError:
            return False
        return found > wanted if operator == "Gt" else found < wanted
    return False


# https://kubernetes.io/docs/concepts/overview/working-with-objects/field-selectors/#list-of-supported-fields
_METADATA = ("metadata.name", "metadata.namespace")
_FIELDS = {
    kind: tuple(fields.split())
    for kind, fields in {
        "Pod": "spec.nodeName spec.restartPolicy spec.schedulerName spec.serviceAccountName status.phase "
        "status.podIP status.nominatedNodeName",
        "Event": "involvedObject.kind involvedObject.namespace involvedObject.name involvedObject.uid reason "
        "reportingComponent source type",
        "Secret": "type",
        "Namespace": "status.phase",
        "ReplicaSet": "status.replicas",
        "Node": "spec.unschedulable",
    }.items()
}


def field_selector(text: str, kind: str) -> Matches:
    """A test of an object's fields.

    Raises:
        ApiError: 400 for a field that the type can't be selected by, or a text that is no selector.
    """
    allowed = (*_METADATA, *_FIELDS.get(kind, ()))
    tests: list[Matches] = []
    for part in filter(None, text.split(",")):
        found = re.match(r"^([^!=]+)(!=|==|=)(.*)$", part)
        if not found:
            raise bad_request(f"invalid selector: '{text}'; can't understand '{part}'")
        path, operator, value = found[1], found[2], found[3]
        if path not in allowed:
            if kind in _FIELDS:
                raise bad_request(f"field label not supported: {path}")
            raise bad_request(
                f'"{path}" is not a known field selector: only "metadata.name", "metadata.namespace"'
            )
        tests.append(_field_test(path.split("."), value, operator != "!="))
    return lambda obj: all(test(obj) for test in tests)


def _field_test(path: list[str], value: str, equal: bool) -> Matches:
    def test(obj: Json) -> bool:
        node: Any = obj
        for part in path:
            node = node.get(part, "") if isinstance(node, dict) else ""
        text = str(node).lower() if isinstance(node, bool) else str(node)
        return (text == value) is equal

    return test
