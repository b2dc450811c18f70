"""What a run is called: a sentence, unless a person typed another name."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import Any

# What the UI's form has in its field Run Name until somebody types another one: an adjective of products, an animal.
_OF_THE_FORM = re.compile(
    "(Awesome|Rustic|Small|Gorgeous|Fantastic|Sleek|Intelligent|Unbranded|Refined|Licensed|Generic|Practical|Ergonomic"
    "|Handcrafted|Tasty|Handmade|Incredible)-[a-zA-Z]{1,6}"
)


def run_name(sentence: Callable[..., str]) -> Callable[[], str]:
    """The `flow_run_name` of a flow: the sentence, made of the run's parameters, where Prefect drew the name.

    Args:
        sentence: takes the flow's parameters by name.
    """

    def name() -> str:
        from prefect.runtime import flow_run

        given = str(flow_run.name or "")
        return sentence(**flow_run.parameters) if not given or is_drawn(given) else given

    return name


def is_drawn(name: str) -> bool:
    """Return whether Prefect drew this name, as tangible-iguana or Generic-cow; nobody types such a one."""
    if _OF_THE_FORM.fullmatch(name):
        return True
    words = name.split("-")
    return len(words) == 2 and _words().issuperset(words)


@cache
def _words() -> frozenset[str]:
    """The words of which Prefect's server and client draw names."""
    from coolname.data import config

    lists: dict[str, Any] = config
    return frozenset(
        word for word_list in lists.values() if word_list["type"] == "words" for word in word_list["words"]
    )


def environment_in(deed: str) -> Callable[..., str]:
    """A sentence such as `provision cnpg in canadacentral`."""

    def sentence(spec: Any, **_: Any) -> str:
        return f"{deed} {spec.name} in {spec.region}"

    return sentence


def rebuild_name(spec: Any, strategy: str, **_: Any) -> str:
    """A rebuild's, with its strategy."""
    return f"rebuild {spec.name} in {spec.region}, {strategy}"


def fleet_name(spec: Any, regions: list[str], **_: Any) -> str:
    """A fleet's: its regions by name where they are few, else how many."""
    if len(regions) > 3:
        return f"provision {spec.name} in {len(regions)} regions"
    *most, last = regions
    return (
        f"provision {spec.name} in {', '.join(most)} and {last}"
        if most
        else f"provision {spec.name} in {last}"
    )
