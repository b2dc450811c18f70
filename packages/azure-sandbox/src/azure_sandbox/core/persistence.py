"""Keeping a sandbox's state in its folder from one run to the next (`--persist`).

Kept: resources, principals and their secrets, settings, names, the clock. What is still running at the stop
is brought to its end first, so no operation has to be continued; their status URLs are gone after the
restart. A sandbox that is killed keeps what it had at its last clean stop. Not kept: faults, the ledger and
what a provider has besides, unless its `saving` hook notes it down and its `restored` hook brings it back.
"""

from __future__ import annotations

import base64
import json
import logging
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from azure_sandbox.core.certificates import write_private
from azure_sandbox.core.entra import ServicePrincipal

if TYPE_CHECKING:
    from azure_sandbox.server.instance import Sandbox

Json = dict[str, Any]

logger = logging.getLogger(__name__)

FILE = "state.json"
SETTLE_S = 600  # What services do of themselves after an operation, such as starting agents, is over by then.
BYTES = "base64:"


def save(sandbox: Sandbox) -> None:
    """Bring everything to its end and write the state."""
    write_private(sandbox.folder / FILE, snapshot(sandbox).encode())


def snapshot(sandbox: Sandbox) -> str:
    """Bring everything to its end and return the state as JSON."""
    clock = sandbox.clock
    for _ in range(20):
        ends = [item.ends_s for item in sandbox.operations.all() if not item.done and item.ends_s is not None]
        if not ends:
            break
        clock.step(max(ends) - clock.now_s() + 1)
    clock.step(SETTLE_S)
    for resource in sandbox.store:
        for hook in sandbox.router.savings(resource.type):
            hook(resource, sandbox)
    state = {
        "seed": sandbox.seed,
        "now_s": clock.now_s(),
        "client_secret": sandbox.client_secret,
        "control_key": sandbox.control_key,
        "settings": sandbox.settings.all(),
        "draws": [[list(key), count] for key, count in sandbox.draws.items()],
        "states": {name: value for name, value in sandbox.states.items() if _is_plain(value)},
        "principals": [asdict(principal) for principal in sandbox.entra.all()],
        "resources": [
            {
                "id": resource.id,
                "type": resource.type,
                "body": resource.body,
                "etag": resource.etag,
                "created_s": resource.created_s,
                "notes": resource.notes,
            }
            for resource in sandbox.store
        ],
    }
    return json.dumps(state, default=_encoded)


def restore(sandbox: Sandbox) -> bool:
    """Take up the state that the folder holds; False when there is none."""
    path = sandbox.folder / FILE
    if not path.exists():
        return False
    take_up(sandbox, path.read_text())
    return True


def take_up(sandbox: Sandbox, text: str) -> None:
    """Put a state, as `snapshot` gave it, into an empty sandbox."""
    state = json.loads(text, object_hook=_decoded)
    sandbox.clock.reset(at_s=state["now_s"])
    sandbox.settings.update(state["settings"])
    sandbox.draws.update({tuple(key): count for key, count in state["draws"]})
    sandbox.states.update(state["states"])
    for principal in state["principals"]:
        sandbox.entra.add(ServicePrincipal(**principal))
    for saved in state["resources"]:
        resource = sandbox.store.put(saved["id"], saved["type"], saved["body"])
        resource.etag, resource.created_s, resource.notes = saved["etag"], saved["created_s"], saved["notes"]
    for resource in sandbox.store:
        for hook in sandbox.router.restorals(resource.type):
            hook(resource, sandbox)


def kept_secrets(sandbox: Sandbox) -> Json:
    """The seed and the secrets of an earlier run; empty when there was none."""
    path = sandbox.folder / FILE
    if not path.exists():
        return {}
    state = json.loads(path.read_text())
    return {name: state[name] for name in ("seed", "client_secret", "control_key")}


def _is_plain(value: Any) -> bool:
    """Whether a provider's memory can be written down; live objects can't and are made anew."""
    try:
        json.dumps(value, default=_encoded)
    except TypeError:
        return False
    return True


def _encoded(value: Any) -> Any:
    if isinstance(value, bytes):
        return {BYTES: base64.b64encode(value).decode()}
    raise TypeError(f"{type(value).__name__} can't be kept")


def _decoded(value: dict[str, Any]) -> Any:
    return base64.b64decode(value[BYTES]) if set(value) == {BYTES} else value
