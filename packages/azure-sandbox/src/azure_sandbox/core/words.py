"""Words that a service takes in any case and shows in its own, as ARM's guidelines for enums have it.

https://github.com/Azure/azure-resource-manager-rpc/blob/master/v1.0/common-api-contracts.md: string comparisons,
those of enums included, don't count case.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

Json = dict[str, Any]
Words = Mapping[str, tuple[str, ...]]


def as_written(
    body: Json, words: Words, refused: Callable[[str, str, tuple[str, ...]], Exception] | None = None
) -> Json:
    """A copy of a body with the service's own spelling of its words.

    Args:
        body: what was sent.
        words: dotted path -> the words allowed there.
        refused: makes the error for another word, given path, word and those allowed; None leaves the word as it is,
            where it isn't known how the service refuses it.
    """
    body = copy.deepcopy(body)
    for path, allowed in words.items():
        *above, name = path.split(".")
        holder: Any = body
        for step in above:
            holder = holder.get(step) if isinstance(holder, dict) else None
        given = holder.get(name) if isinstance(holder, dict) else None
        if not isinstance(given, str) or given == "":
            continue
        known = {word.lower(): word for word in allowed}
        # "SystemAssigned, UserAssigned" is written with a space too.
        wanted = given.replace(" ", "").lower()
        if wanted in known:
            holder[name] = known[wanted]
        elif refused is not None:
            raise refused(path, given, allowed)
    return body
