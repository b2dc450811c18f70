"""Conditions of a status.

https://github.com/kubernetes/community/blob/master/contributors/devel/sig-architecture/api-conventions.md#typical-status-properties
"""

from typing import Any

Json = dict[str, Any]


def condition(
    type_: str, status: str, reason: str, message: str, now: str, before: Json | None = None
) -> Json:
    """A condition whose times move only when it changes.

    Args:
        type_: such as Available.
        status: True, False or Unknown.
        reason: one word.
        message: for people.
        now: the time.
        before: the status that may hold the condition already.
    """
    old = next((item for item in (before or {}).get("conditions") or [] if item["type"] == type_), None)
    made = {"type": type_, "status": status, "reason": reason, "message": message}
    if old is not None and {key: old.get(key) for key in made} == made:
        return dict(old)
    since = old.get("lastTransitionTime", now) if old is not None and old["status"] == status else now
    return {**made, "lastTransitionTime": since}


def is_true(obj: Json, type_: str) -> bool:
    """Whether a condition holds."""
    conditions = (obj.get("status") or {}).get("conditions") or []
    return any(item["type"] == type_ and item["status"] == "True" for item in conditions)
