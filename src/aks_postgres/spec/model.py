"""What every group of the spec is made of."""

from __future__ import annotations

import re
from typing import Any

from pydantic import ConfigDict

from aks_postgres.foreign_text import holds_secret
from aks_postgres.spec.titles import title_of

DNS_LABEL = r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"


def at(position: int) -> dict[str, Any]:
    """The place of a field in the run form."""
    return {"position": position}


def _form_title(model: type[Any]) -> str:
    """Return what the run form calls a group of fields: PostgresPoolSpec is Postgres pool."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", model.__name__.removesuffix("Spec")).capitalize()


# Unknown fields are refused, defaults are checked like given values, and a spec never changes once made.
SPEC_CONFIG = ConfigDict(
    extra="forbid",
    frozen=True,
    validate_default=True,
    hide_input_in_errors=True,
    model_title_generator=_form_title,
    field_title_generator=lambda name, _: title_of(name),
)


def no_secret(value: Any) -> Any:
    """A field's value as it was given.

    Raises:
        ValueError: it looks like a secret, or holds one.
    """
    if holds_secret(value):
        raise ValueError(
            "it looks like a password, token or key, or holds one, and Prefect would keep it and show it in its UI. "
            "Leave it out; what has to be fetched with one, fetch yourself, and give the file's path"
        )
    return value
