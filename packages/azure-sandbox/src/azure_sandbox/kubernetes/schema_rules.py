"""What breaks a schema's rules, found by jsonschema and said in the API server's words.

https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#validation
The dialect is OpenAPI 3.0's, whose bounds are exclusive by a boolean, as in draft 4 of JSON Schema.
Texts: a kube-apiserver's; the contract tests compare them with a real one. Of a custom type its paths leave out
where in a list an item stands, except for one that comes twice.
Not checked: CEL rules (`x-kubernetes-validations`), formats.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from jsonschema import Draft4Validator, ValidationError
from jsonschema.validators import extend

from azure_sandbox.kubernetes import errors, schemas

Json = dict[str, Any]
Errors = Iterator[ValidationError]


def violations(obj: Json, schema: Json, custom: bool) -> list[Json]:
    """What breaks the schema's rules, as causes of a 422.

    Args:
        obj: the whole object, pruned. Rules for its `metadata` are the same for all types, and elsewhere.
        schema: of its type.
        custom: whether types count as rules; a built-in type's are checked before.
    """
    validator = _CUSTOM if custom else _BUILT_IN
    found = validator(schema).iter_errors({**obj, "metadata": {}})
    return [_cause(error, custom) for error in found]


def _is_integer(_checker: object, value: Any) -> bool:
    whole = isinstance(value, float) and value.is_integer()
    return whole or (isinstance(value, int) and not isinstance(value, bool))


def _type(validator: Any, wanted: str, value: Any, schema: Json) -> Errors:
    if not validator.is_type(value, wanted) and not (value is None and schema.get("nullable")):
        yield ValidationError(wanted)


def _int_or_string(validator: Any, wanted: bool, value: Any, _schema: Json) -> Errors:
    if wanted and not (validator.is_type(value, "integer") or isinstance(value, str)):
        yield ValidationError("integer,string")


def _required(_validator: Any, names: list[str], value: Any, _schema: Json) -> Errors:
    for name in names if isinstance(value, dict) else ():
        if value.get(name) is None:
            yield ValidationError("", path=(name,))


def _duplicates(_validator: Any, kind: str, value: Any, schema: Json) -> Errors:
    inner = schemas.items(schema)
    if kind not in ("set", "map") or not isinstance(value, list) or "x-type" in inner:
        return  # Built-in types have rules of their own: a variable of the environment may come twice.
    keys = schemas.list_keys(schema)
    seen = set()
    for index, item in enumerate(value):
        key = (json.dumps(item),) if keys is None else schemas.key_of(item, keys, inner)
        if key in seen:
            shown = item if keys is None else dict(zip(keys, key, strict=True))
            yield ValidationError(json.dumps(shown), path=(index,))
        seen.add(key)


def _all_of(validator: Any, wanted: list[Json], value: Any, _schema: Json) -> Errors:
    found = _each(validator, wanted, value)
    for failures in found:
        yield from failures
    if any(found):
        yield ValidationError(f"must validate all the schemas (allOf){'. None validated' * all(found)}")


def _any_of(validator: Any, wanted: list[Json], value: Any, _schema: Json) -> Errors:
    found = _each(validator, wanted, value)
    if all(found):
        yield ValidationError("must validate at least one schema (anyOf)")
        yield from min(found, key=len)


def _one_of(validator: Any, wanted: list[Json], value: Any, _schema: Json) -> Errors:
    found = _each(validator, wanted, value)
    valid = found.count([])
    if valid != 1:
        shown = f"{valid} valid alternatives" if valid else "none valid"
        yield ValidationError(f"must validate one and only one schema (oneOf). Found {shown}")
    if not valid:
        yield from min(found, key=len)


def _each(validator: Any, wanted: list[Json], value: Any) -> list[list[ValidationError]]:
    return [list(validator.descend(value, schema, schema_path=index)) for index, schema in enumerate(wanted)]


def _not(validator: Any, unwanted: Json, value: Any, _schema: Json) -> Errors:
    if validator.evolve(schema=unwanted).is_valid(value):
        yield ValidationError("must not validate the schema (not)")


def _checked_before(*_: Any) -> Errors:
    return iter(())


_JUNCTIONS = {"allOf": _all_of, "anyOf": _any_of, "oneOf": _one_of, "not": _not}
_KEYWORDS = {**_JUNCTIONS, "required": _required, "x-kubernetes-list-type": _duplicates}
_TYPES = Draft4Validator.TYPE_CHECKER.redefine("integer", _is_integer)
_BUILT_IN = extend(Draft4Validator, {**_KEYWORDS, "type": _checked_before}, type_checker=_TYPES)
_CUSTOM = extend(
    Draft4Validator,
    {**_KEYWORDS, "type": _type, "x-kubernetes-int-or-string": _int_or_string},
    type_checker=_TYPES,
)


def _cause(error: ValidationError, custom: bool) -> Json:
    path, value, limit = _path(error, custom), error.instance, error.validator_value
    keyword = str(error.validator)
    if keyword in _JUNCTIONS:
        return errors.bad_value("<nil>", "", f'"{path}" {error.message}')
    if keyword == "required":
        return errors.required(path)
    if keyword == "enum":
        return errors.unsupported(path, value, (errors.go_value(item).strip('"') for item in limit))
    if keyword == "x-kubernetes-list-type":
        where = f"{path}[{error.absolute_path[-1]}]" if custom else path
        return errors.cause(where, "FieldValueDuplicate", f"Duplicate value: {error.message}")
    if keyword in ("type", "x-kubernetes-int-or-string"):
        return wrong_type(path, error.message, value)
    if keyword.endswith("Items"):
        value = len(value)
    elif keyword.endswith("Properties"):
        value = limit  # As the real one has it, in place of their number.
    return errors.bad_value(path, value, f"{path} in body {_text(error)}")


def wrong_type(path: str, wanted: str, value: Any) -> Json:
    """The cause for a value of another type."""
    found = _type_name(value)
    return errors.bad_value(path, found, f'{path} in body must be of type {wanted}: "{found}"')


def _type_name(value: Any) -> str:
    if _is_integer(None, value):
        return "integer"
    names = {bool: "boolean", float: "number", str: "string", list: "array", dict: "object"}
    return names.get(type(value), "null")


def _text(error: ValidationError) -> str:
    limit, schema = error.validator_value, error.schema
    assert isinstance(schema, dict)
    above = "greater than" if schema.get("exclusiveMinimum") else "greater than or equal to"
    below = "less than" if schema.get("exclusiveMaximum") else "less than or equal to"
    return {
        "minimum": f"should be {above} {limit}",
        "maximum": f"should be {below} {limit}",
        "multipleOf": f"should be a multiple of {limit}",
        "minLength": f"should be at least {limit} chars long",
        "maxLength": f"should be at most {limit} chars long",
        "pattern": f"should match '{limit}'",
        "minItems": f"should have at least {limit} items",
        "maxItems": f"should have at most {limit} items",
        "minProperties": f"should have at least {limit} properties",
        "maxProperties": f"should have at most {limit} properties",
    }[str(error.validator)]


def _path(error: ValidationError, custom: bool) -> str:
    text = ""
    for step in error.absolute_path:
        if not isinstance(step, int):
            text += f".{step}"
        elif not custom:
            text += f"[{step}]"
    return text.removeprefix(".")
