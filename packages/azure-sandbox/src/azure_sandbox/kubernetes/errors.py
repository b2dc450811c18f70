"""The API server's refusals: `Status` objects with the reasons and texts of the real one.

Reasons:
https://github.com/kubernetes/community/blob/master/contributors/devel/sig-architecture/api-conventions.md#error-codes
Texts: as a kube-apiserver answers; the contract tests compare them with a real one.
"""

from collections.abc import Iterable
from typing import Any

from azure_sandbox.kubernetes.resources import ResourceType

Json = dict[str, Any]


class ApiError(Exception):
    """An answer other than success.

    Args:
        code: HTTP status.
        reason: the machine-readable reason, such as `AlreadyExists`.
        message: the text for people.
        details: `details` of the Status, such as name, kind and causes.
    """

    def __init__(self, code: int, reason: str, message: str, details: Json | None = None) -> None:
        super().__init__(f"{code} {reason}: {message}")
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details

    def status(self) -> Json:
        """The body."""
        body: Json = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "details": self.details,
            "code": self.code,
        }
        if self.details is None:
            del body["details"]
        if not self.reason:
            del body["reason"]
        return body


def success(type_: ResourceType, name: str, uid: str) -> Json:
    """The Status that a deletion answers with when the object is gone at once."""
    details = {**_details(type_, name), "uid": uid}
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}


def not_found(type_: ResourceType, name: str) -> ApiError:
    """404: no such object."""
    message = f'{type_.qualified} "{name}" not found'
    return ApiError(404, "NotFound", message, _details(type_, name))


def no_such_resource() -> ApiError:
    """404: no such type, version or subresource."""
    return ApiError(404, "NotFound", "the server could not find the requested resource", {})


def already_exists(type_: ResourceType, name: str) -> ApiError:
    """409 on create."""
    message = f'{type_.qualified} "{name}" already exists'
    return ApiError(409, "AlreadyExists", message, _details(type_, name))


def being_deleted(type_: ResourceType, name: str) -> ApiError:
    """409 on create while the object of that name waits for its finalizers."""
    message = f'object is being deleted: {type_.qualified} "{name}" already exists'
    return ApiError(409, "AlreadyExists", message, _details(type_, name))


def conflict(type_: ResourceType, name: str, why: str | None = None) -> ApiError:
    """409: somebody else wrote in between, or a precondition failed."""
    why = why or (
        "the object has been modified; please apply your changes to the latest version and try again"
    )
    message = f'Operation cannot be fulfilled on {type_.qualified} "{name}": {why}'
    return ApiError(409, "Conflict", message, _details(type_, name))


def precondition_failed(type_: ResourceType, name: str, why: str) -> ApiError:
    """409: the object to delete isn't the one that was meant."""
    message = f'Operation cannot be fulfilled on {type_.kind} "{name}": {why}'
    details = {**_details(type_, name), "kind": type_.kind}
    return ApiError(409, "Conflict", message, details)


def apply_conflict(message: str, causes: list[Json]) -> ApiError:
    """409 of server-side apply: fields that other managers own."""
    return ApiError(409, "Conflict", message, {"causes": causes})


def invalid(type_: ResourceType, name: str, causes: Iterable[Json]) -> ApiError:
    """422: the object breaks a rule; `causes` are made by `cause`."""
    listed = list(causes)
    texts = [f"{item['field']}: {item['message']}" for item in listed]
    joined = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
    kind = f"{type_.kind}.{type_.group}" if type_.group else type_.kind
    details: Json = {"name": name, "group": type_.group, "kind": type_.kind, "causes": listed}
    details = {key: value for key, value in details.items() if value}
    return ApiError(422, "Invalid", f'{kind} "{name}" is invalid: {joined}', details)


def cause(field: str, reason: str, message: str) -> Json:
    """One cause of an `invalid`."""
    return {"reason": reason, "message": message, "field": field}


def required(field: str, text: str = "") -> Json:
    """The cause "Required value"."""
    return cause(field, "FieldValueRequired", f"Required value{': ' + text if text else ''}")


def bad_value(field: str, value: Any, text: str) -> Json:
    """The cause "Invalid value"."""
    return cause(field, "FieldValueInvalid", f"Invalid value: {go_value(value)}: {text}")


def duplicate(field: str, value: Any) -> Json:
    """The cause "Duplicate value"."""
    return cause(field, "FieldValueDuplicate", f"Duplicate value: {go_value(value)}")


def unsupported(field: str, value: Any, allowed: Iterable[str]) -> Json:
    """The cause "Unsupported value"."""
    choices = ", ".join(f'"{item}"' for item in allowed)
    return cause(
        field,
        "FieldValueNotSupported",
        f"Unsupported value: {go_value(value)}: supported values: {choices}",
    )


def forbidden(type_: ResourceType, name: str, why: str, causes: list[Json] | None = None) -> ApiError:
    """403 by admission or authorization."""
    details = _details(type_, name)
    if causes:
        details["causes"] = causes
    return ApiError(403, "Forbidden", f'{type_.qualified} "{name}" is forbidden: {why}', details)


def bad_request(message: str) -> ApiError:
    """400."""
    return ApiError(400, "BadRequest", message)


def internal_error(message: str) -> ApiError:
    """500 with the prefix that the API server gives it."""
    return ApiError(
        500, "InternalError", f"Internal error occurred: {message}", {"causes": [{"message": message}]}
    )


def method_not_allowed() -> ApiError:
    """405."""
    text = "the server does not allow this method on the requested resource"
    return ApiError(405, "MethodNotAllowed", text, {})


def unsupported_media_type(accepted: Iterable[str]) -> ApiError:
    """415."""
    text = "the body of the request was in an unknown format - accepted media types include: "
    return ApiError(415, "UnsupportedMediaType", text + ", ".join(accepted), {})


def expired(wanted: int, oldest: int) -> ApiError:
    """410: the watch's or list's resourceVersion is older than the history kept."""
    return ApiError(410, "Expired", f"too old resource version: {wanted} ({oldest})")


def unauthorized() -> ApiError:
    """401: no token, or one that this cluster doesn't know."""
    return ApiError(401, "Unauthorized", "Unauthorized")


def not_emulated(what: str) -> ApiError:
    """501: the sandbox has nothing to answer with, and says so instead of guessing."""
    text = f"the sandbox's Kubernetes API doesn't emulate {what}"
    return ApiError(501, "NotImplemented", text, {})


def go_value(value: Any) -> str:
    """A value as Go's `%#v` shows it in messages: strings quoted, the rest close to JSON."""
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, list):
        return f"[]string{{{', '.join(go_value(item) for item in value)}}}"
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)


def _details(type_: ResourceType, name: str) -> Json:
    details: Json = {"name": name, "group": type_.group, "kind": type_.plural}
    if not type_.group:
        del details["group"]
    return details
