"""What every group of the spec is made of."""

from __future__ import annotations

import re
from typing import Any

from pydantic import ConfigDict

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
    model_title_generator=_form_title,
    field_title_generator=lambda name, _: title_of(name),
)
