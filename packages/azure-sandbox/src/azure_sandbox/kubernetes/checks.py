"""What an object must fulfil before it is stored, whatever its type."""

from typing import Any

from azure_sandbox.kubernetes import built_in_rules, custom_resources, errors, schema_rules, structure
from azure_sandbox.kubernetes.resources import ResourceType

Json = dict[str, Any]


def check(type_: ResourceType, schema: Json, obj: Json, before: Json | None) -> None:
    """Check an object about to be written; `before` is the one that it replaces.

    Raises:
        ApiError: 422 with every cause found; 400 for a value that isn't of the type in Kubernetes' own code.
    """
    metadata = obj["metadata"]
    # A custom type's own fields are its schema's business.
    for path, wanted, value in structure.wrong_types({"metadata": metadata} if type_.custom else obj, schema):
        text = f"json: cannot unmarshal {_json_type(value)} into Go struct field {path} of type {wanted}"
        raise errors.bad_request(
            f'{type_.kind} in version "{type_.version}" cannot be handled as a {type_.kind}: {text}'
        )
    causes = built_in_rules.bad_metadata(type_.kind, type_.custom, metadata)
    if before is not None and before["metadata"].get("deletionTimestamp"):
        causes += _new_finalizers(before["metadata"], metadata)
    causes += schema_rules.violations(obj, schema, type_.custom)
    if type_.kind == "CustomResourceDefinition":
        causes += custom_resources.broken(obj, before)
    elif not type_.custom:
        known = {item["field"] for item in causes}
        causes += [item for item in built_in_rules.broken(obj, before) if item["field"] not in known]
    if causes:
        raise errors.invalid(type_, metadata.get("name", ""), causes)


def check_preconditions(type_: ResourceType, obj: Json, preconditions: Json) -> None:
    """Check that an object is the one that a deletion means.

    Raises:
        ApiError: 409 when it isn't.
    """
    metadata = obj["metadata"]
    lost = {"uid": "deleted and then recreated", "resourceVersion": "modified"}
    for field, label in (("uid", "UID"), ("resourceVersion", "ResourceVersion")):
        wanted = preconditions.get(field)
        if wanted and wanted != metadata[field]:
            why = (
                f"the {label} in the precondition ({wanted}) does not match the {label} in record "
                f"({metadata[field]}). The object might have been {lost[field]}"
            )
            raise errors.precondition_failed(type_, metadata["name"], why)


def _new_finalizers(before: Json, after: Json) -> list[Json]:
    added = [item for item in after.get("finalizers") or [] if item not in (before.get("finalizers") or [])]
    if not added:
        return []
    text = (
        "Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers "
        f"{errors.go_value(added)}"
    )
    return [errors.cause("metadata.finalizers", "FieldValueForbidden", text)]


def _json_type(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    names = {str: "string", int: "number", float: "number", list: "array", dict: "object"}
    return names.get(type(value), "null")
