"""JSON patch (RFC 6902), JSON merge patch (RFC 7386) and Kubernetes' strategic merge patch.

https://github.com/kubernetes/community/blob/master/contributors/devel/sig-api-machinery/strategic-merge-patch.md
"""

import copy
from typing import Any

from sandbox.kubernetes import errors, schemas

Json = dict[str, Any]


def json_patch(target: Json, operations: Any) -> Json:
    """Apply a JSON patch.

    Raises:
        ApiError: 422 when an operation doesn't fit the object, 400 when the patch itself is malformed.
    """
    if not isinstance(operations, list):
        raise errors.bad_request("json: cannot unmarshal object into Go value of type jsonpatch.Patch")
    document: Any = copy.deepcopy(target)
    for operation in operations:
        try:
            document = _operate(document, operation)
        except (KeyError, IndexError, ValueError, TypeError) as error:
            text = f"the server rejected our request due to an error in our request: {error}"
            raise errors.ApiError(422, "Invalid", text, {}) from error
    if not isinstance(document, dict):
        raise errors.bad_request("the patched document is no object")
    return document


def _operate(document: Any, operation: Json) -> Any:
    kind, path = operation["op"], _pointer(operation["path"])
    if kind in ("move", "copy"):
        source = _pointer(operation["from"])
        value = copy.deepcopy(_look_up(document, source))
        if kind == "move":
            document = _take_out(document, source)
        return _put_in(document, path, value)
    if kind == "test":
        if _look_up(document, path) != operation.get("value"):
            raise ValueError(f"testing value {operation['path']} failed: test failed")
        return document
    if kind == "remove":
        return _take_out(document, path)
    if kind == "replace":
        _look_up(document, path)
        return _put_in(document, path, operation["value"], replace=True)
    if kind == "add":
        return _put_in(document, path, operation["value"])
    raise ValueError(f"unknown operation {kind}")


def _pointer(text: str) -> list[str]:
    if text == "":
        return []
    if not text.startswith("/"):
        raise ValueError(f"bad path {text}")
    return [part.replace("~1", "/").replace("~0", "~") for part in text[1:].split("/")]


def _look_up(document: Any, path: list[str]) -> Any:
    for part in path:
        document = document[int(part)] if isinstance(document, list) else document[part]
    return document


def _put_in(document: Any, path: list[str], value: Any, replace: bool = False) -> Any:
    if not path:
        return value
    parent = _look_up(document, path[:-1])
    if not isinstance(parent, list):
        parent[path[-1]] = value
    elif replace:
        parent[int(path[-1])] = value
    elif path[-1] == "-":
        parent.append(value)
    else:
        index = int(path[-1])
        if index > len(parent):
            raise IndexError(f"index {index} out of bounds")
        parent.insert(index, value)
    return document


def _take_out(document: Any, path: list[str]) -> Any:
    parent = _look_up(document, path[:-1])
    if isinstance(parent, list):
        parent.pop(int(path[-1]))
    else:
        del parent[path[-1]]
    return document


def merge_patch(target: Any, patch: Any) -> Any:
    """Apply a JSON merge patch: null removes, lists are replaced."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    merged = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge_patch(merged.get(key), value)
    return merged


def strategic_merge_patch(target: Any, patch: Any, schema: Json) -> Any:
    """Apply a strategic merge patch: keyed lists are merged item by item, `$patch` is obeyed."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    if patch.get("$patch") == "replace":
        return {key: copy.deepcopy(value) for key, value in patch.items() if key != "$patch"}
    merged = dict(target) if isinstance(target, dict) else {}
    kept = patch.get("$retainKeys")
    if kept is not None:
        merged = {key: value for key, value in merged.items() if key in kept}
    for key, value in patch.items():
        if key in ("$patch", "$retainKeys") or key.startswith("$setElementOrder/"):
            continue
        if key.startswith("$deleteFromPrimitiveList/"):
            name = key.partition("/")[2]
            merged[name] = [item for item in merged.get(name) or [] if item not in value]
        elif value is None:
            merged.pop(key, None)
        else:
            inner = (
                schemas.OBJECT_META if key == "metadata" else schemas.child(schema, key) or schemas.UNKNOWN
            )
            merged[key] = _strategic_value(merged.get(key), value, inner)
    return merged


def _strategic_value(target: Any, value: Any, schema: Json) -> Any:
    if isinstance(value, dict):
        return strategic_merge_patch(target, value, schema)
    if not isinstance(value, list):
        return value
    live = target if isinstance(target, list) else []
    if schemas.is_set(schema):
        return [*live, *(item for item in value if item not in live)]
    keys = schemas.list_keys(schema)
    if keys is None:
        return copy.deepcopy(value)
    # Where server-side apply needs several keys, the patch merges by the first (a Service's ports by `port`).
    key = keys[0]
    if any(isinstance(item, dict) and item.get("$patch") == "replace" for item in value):
        return [copy.deepcopy(item) for item in value if "$patch" not in item]
    merged = list(live)
    for item in value:
        index = next((i for i, old in enumerate(merged) if old.get(key) == item.get(key)), None)
        if item.get("$patch") == "delete":
            merged = [old for old in merged if old.get(key) != item.get(key)]
        elif index is None:
            merged.append(strategic_merge_patch({}, item, schemas.items(schema)))
        else:
            merged[index] = strategic_merge_patch(merged[index], item, schemas.items(schema))
    return merged
