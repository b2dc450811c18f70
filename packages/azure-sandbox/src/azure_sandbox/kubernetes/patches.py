"""JSON patch (RFC 6902, by jsonpatch), JSON merge patch (RFC 7386) and Kubernetes' strategic merge patch.

https://github.com/kubernetes/community/blob/master/contributors/devel/sig-api-machinery/strategic-merge-patch.md
"""

from typing import Any

import jsonpatch

from azure_sandbox.kubernetes import errors, schemas
from azure_sandbox.kubernetes.values import copied

Json = dict[str, Any]


def json_patch(target: Json, operations: Any) -> Json:
    """Apply a JSON patch.

    Raises:
        ApiError: 422 when an operation doesn't fit the object, 400 when the patch itself is malformed.
    """
    if not isinstance(operations, list):
        raise errors.bad_request("json: cannot unmarshal object into Go value of type jsonpatch.Patch")
    try:
        document = jsonpatch.apply_patch(target, operations)
    except (jsonpatch.JsonPatchException, jsonpatch.JsonPointerException) as error:
        text = "the server rejected our request due to an error in our request"
        raise errors.ApiError(422, "Invalid", text, {}) from error
    if not isinstance(document, dict):
        raise errors.bad_request("the patched document is no object")
    return document


def merge_patch(target: Any, patch: Any) -> Any:
    """Apply a JSON merge patch: null removes, lists are replaced."""
    if not isinstance(patch, dict):
        return copied(patch)
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
        return copied(patch)
    if patch.get("$patch") == "replace":
        return {key: copied(value) for key, value in patch.items() if key != "$patch"}
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
            order = patch.get(f"$setElementOrder/{key}")
            merged[key] = _strategic_value(merged.get(key), value, inner, order)
    return merged


def _strategic_value(target: Any, value: Any, schema: Json, order: list[Any] | None) -> Any:
    if isinstance(value, dict):
        return strategic_merge_patch(target, value, schema)
    if not isinstance(value, list):
        return value
    live = target if isinstance(target, list) else []
    if schemas.is_set(schema):
        return [*live, *(item for item in value if item not in live)]
    keys = schemas.list_keys(schema)
    if keys is None:
        return copied(value)
    return _strategic_list(live, value, keys[0], schemas.items(schema), order)


def _strategic_list(
    live: list[Json], patch: list[Json], key: str, schema: Json, order: list[Any] | None
) -> list[Json]:
    """Merge a keyed list; where server-side apply has several keys, a patch goes by the first.

    Args:
        live: the items there are.
        patch: those to merge in; `$patch: delete` takes one out, `$patch: replace` drops the live ones.
        key: what tells items apart, such as a Service's ports by `port`.
        schema: of an item.
        order: the keys in the order wanted, if the patch says one.
    """
    if any(item.get("$patch") == "replace" for item in patch):
        return [copied(item) for item in patch if "$patch" not in item]
    doomed = {item.get(key) for item in patch if item.get("$patch") == "delete"}
    old = {item.get(key): item for item in live if item.get(key) not in doomed}
    new = {
        item.get(key): strategic_merge_patch(old.get(item.get(key), {}), item, schema)
        for item in patch
        if "$patch" not in item
    }
    if order is not None:
        named = [item.get(key) for item in order]
        new = {name: new.get(name, old.get(name)) for name in named if name in new or name in old}
    return _interleaved([name for name in old if name not in new], list(new), list(old), {**old, **new})


def _interleaved(left: list[Any], right: list[Any], known: list[Any], items: dict[Any, Json]) -> list[Json]:
    """Items not in the patch (`left`) and in it (`right`), in the live order where that knows both."""
    merged = []
    while left or right:
        both = bool(left and right) and right[0] in known
        from_left = not right or (both and known.index(left[0]) < known.index(right[0]))
        merged.append(items[(left if from_left else right).pop(0)])
    return merged
