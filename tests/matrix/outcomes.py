"""Running one case of the fault matrix, and judging how it ended."""

from __future__ import annotations

import re
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import Any, Literal

from aks_postgres.arm.errors import OperationNotDone
from aks_postgres.errors import ProvisioningError, TemporaryError

from .databases import pattern
from .end_state import unlike
from .faults import REFUSED, Case, Hit
from .world import World, refusing_connections

Verdict = Literal["same end", "refused, then same end", "gave up for now, then same end", "not met", "defect"]
# A refused run is mended by running again; Prefect itself would have repeated a step that gave up for now.
_RERUNS = 2


@dataclass(frozen=True)
class Outcome:
    """How a case ended.

    Args:
        id: of the case.
        verdict: `same end` as the clean run's; the same after a named refusal or after giving up for now, and a rerun;
            `not met`: this run didn't make the call, since it met another order of events; or a defect.
        detail: the refusal's text, or what is wrong.
        took_s: real seconds, reruns included.
        handed_over: of a run that slept, the writes that Azure answered only after its process was stopped.
    """

    id: str
    verdict: Verdict
    detail: str = ""
    took_s: float = 0
    handed_over: int = 0

    def as_json(self) -> dict[str, Any]:
        """As it is kept."""
        return asdict(self)


def outcome_of(world: World, case: Case) -> Outcome:
    """Run a case from the flow's start."""
    began_s = time.monotonic()
    clean = world.clean(case.flow)
    world.go_to_start(case.flow)
    refusals: list[str] = []
    verdict: Verdict = "same end"
    problem = ""
    with ExitStack() as stack:
        refused = [
            stack.enter_context(refusing_connections(hit.method, pattern(hit.path), hit.nth))
            for hit in case.hits
            if hit.name == REFUSED
        ]
        for hit in (*case.hits, *case.delays):
            if hit.name != REFUSED:
                world.azure.control("POST", "faults", hit.order_at(world.speed))
        for _ in range(1 + _RERUNS):
            try:
                world.run(case.flow)
                break
            except ProvisioningError as error:
                refusals.append(f"{type(error).__name__}: {error}")
                problem = problem or _badly_said(error, case.hits)
                verdict = (
                    "gave up for now, then same end"
                    if isinstance(error, TemporaryError | OperationNotDone)
                    else "refused, then same end"
                )
            except TimeoutError:
                problem = "it hangs"
                break
            except BaseException as error:
                problem = f"{type(error).__name__}: {error}"
                break
        else:
            problem = problem or "running again doesn't mend it"
    was_met = any(refused) or any(
        fault["hits"] for fault in world.azure.control("GET", "faults")["faults"][: len(case.hits)]
    )
    if any(hit.name == "read time-out" for hit in case.hits):
        time.sleep(1)  # the late request is still being handled
    found = unlike(clean.end, world.end(case.flow))
    if found and not problem:
        problem = f"another end: {'; '.join(found[:4])}"
    detail = " / ".join([*([problem] if problem else []), *refusals])
    if case.name and detail:
        detail = f"{'; '.join(map(str, case.hits))}: {detail}"
    if problem:
        verdict = "defect"
    elif not was_met:
        verdict = "not met"
    return Outcome(case.id, verdict, detail[:1500], time.monotonic() - began_s)


def _badly_said(error: ProvisioningError, hits: tuple[Hit, ...]) -> str:
    """What a refusal's text lacks: the resource, Azure's code, or what to do."""
    text = str(error)
    if not re.match(r"[^:]{3,}: ", text):
        return "the refusal doesn't say what it is about"
    if "un again" not in text:
        return "the refusal doesn't say what to do"
    codes = [hit.code for hit in hits if hit.code]
    # Some services keep the reason of a failed operation to themselves.
    is_known = "Azure gave no reason" not in text
    if is_known and len(hits) == 1 and codes and not any(code in text for code in codes):
        return "the refusal doesn't quote Azure's code"
    return ""
