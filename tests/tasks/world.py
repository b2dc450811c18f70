"""One environment on the sandbox, built by the steps themselves, and what other people do to it meanwhile."""

import asyncio
import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from prefect import Task

from aks_postgres.reports.journal import Event, Journal
from aks_postgres.reports.outputs import CheckedTarget
from aks_postgres.spec.environment import EnvironmentSpec
from azure_sandbox.client import SandboxProcess

Json = dict[str, Any]

# Long enough for any operation of a test to end, in sandbox seconds.
LONG_S = 100_000
# Reads that are POSTs.
READS = (
    "ManagedClusters_ListClusterUserCredentials",
    "StorageAccounts_CheckNameAvailability",
    "PolicyRestrictions_CheckAtSubscriptionScope",
    "PolicyRestrictions_CheckAtResourceGroupScope",
)


@dataclass
class World:
    """The environment of one test."""

    azure: SandboxProcess
    journal: Journal
    spec: EnvironmentSpec
    place: CheckedTarget
    steps: dict[str, "Step"]
    made: dict[str, Any] = field(default_factory=dict)
    _since: int = 0

    async def prepare(self, *names: str) -> None:
        """Have these steps done, and those that they take first; each once."""
        for name in names:
            if name not in ("spec", "place") and name not in self.made:
                self.made[name] = await self.run(name)

    async def run(self, name: str, **other: Any) -> Any:
        """Run a step, whether or not it was done before; `other` are arguments instead of its usual ones."""
        step = self.steps[name]
        await self.prepare(*step.takes, *step.after)
        self.mark()
        known = {"spec": self.spec, "place": self.place, **self.made, **other}
        return await step.task.fn(*(known[taken] for taken in step.takes))

    def mark(self) -> None:
        """Count what the sandbox receives from here on."""
        self._since += len(self.requests())

    def requests(self, **wanted: Any) -> list[Json]:
        """What the sandbox received since the last step began."""
        entries = self.azure.control("GET", f"ledger?since={self._since}")["entries"]
        return [entry for entry in entries if all(entry[name] == value for name, value in wanted.items())]

    def writes(self) -> list[Json]:
        """The requests since the last step began that were no reads."""
        return [
            entry
            for entry in self.requests()
            if entry["method"] not in ("GET", "HEAD")
            and entry["service"] in ("arm", "blob", "grafana", "kubernetes")
            and entry["operation"] not in READS
        ]

    # What other people do, with ARM's own requests.

    def read(self, resource_id: str, api_version: str) -> Json:
        """A resource as ARM shows it."""
        answer = self.azure.arm("GET", resource_id, api_version=api_version)
        assert answer.status_code == 200, answer.text
        found: Json = answer.json()
        return found

    def begin_write(self, resource_id: str, api_version: str, body: Json) -> None:
        """PUT a resource, and don't wait for the end."""
        answer = self.azure.arm("PUT", resource_id, body, api_version=api_version)
        assert answer.status_code in (200, 201, 202), answer.text

    def write(self, resource_id: str, api_version: str, body: Json) -> Json:
        """PUT a resource and wait for the end."""
        self.begin_write(resource_id, api_version, body)
        self.azure.step(LONG_S)
        return self.read(resource_id, api_version)

    def change(self, resource_id: str, api_version: str, values: Json) -> Json:
        """Read a resource, change some paths (`properties.maxCount`), write it, and read it again."""
        body = self.read(resource_id, api_version)
        for path, value in values.items():
            put_at(body, path, value)
        return self.write(resource_id, api_version, body)

    def when(self, kind: str, do: Callable[[], Any] = lambda: None) -> list[str]:
        """Do something at the first event of a kind; returns the list that the texts of all go to."""
        seen: list[str] = []

        def heard(event: Event) -> None:
            if event.kind == kind:
                seen.append(event.text)
                if len(seen) == 1:
                    do()

        self.journal.subscribe(heard)
        return seen

    def until_over(self) -> list[str]:
        """Let everything that is going on come to its end once a step waits for it."""
        return self.when("waiting", lambda: self.azure.step(LONG_S))

    async def arrived(self, operation: str) -> None:
        """Wait until the sandbox has received a request since the last step began."""
        while not self.requests(operation=operation):
            await asyncio.sleep(0)

    async def run_while(self, name: str, do: Callable[[], Any], *, operation: str) -> Any:
        """Run a step, and do something between its last look and the arrival of its write.

        The write is held up on its way until the clock is stepped, which every `write` and `change` does.
        """
        step = self.steps[name]
        await self.prepare(*step.takes, *step.after)
        self.azure.fault({"delay_s": LONG_S / 2}, operation=operation)
        running = asyncio.create_task(self.run(name))
        await asyncio.sleep(0)
        await self.arrived(operation)
        do()
        return await running


@dataclass(frozen=True)
class Step:
    """A step of the guide as the tests of all steps see it.

    Args:
        task: the Prefect task.
        takes: its arguments: `spec`, `place`, or the name of the step whose outputs it takes.
        after: steps that must be done before, although no value comes from them.
    """

    task: Task[..., Any]
    takes: tuple[str, ...]
    after: tuple[str, ...] = ()


def at(body: Any, path: str) -> Any:
    """The value at a path such as `properties.agentPoolProfiles[postgres].count`, or None."""
    for key, name in _keys(path):
        body = body.get(key) if isinstance(body, dict) else None
        if name is not None:
            body = next((item for item in body or () if item["name"] == name), None)
    return body


def put_at(body: Json, path: str, value: Any) -> None:
    """Put a value at a path; None takes it away."""
    *above, (last, name) = _keys(path)
    target: Any = body
    for key, item_name in above:
        target = target.setdefault(key, {})
        if item_name is not None:
            target = next(item for item in target if item["name"] == item_name)
    assert name is None, f"{path}: a path ends in a field"
    if value is None:
        target.pop(last, None)
    else:
        target[last] = copy.deepcopy(value)


def _keys(path: str) -> list[tuple[str, str | None]]:
    keys = []
    for part in path.split("."):
        key, _, name = part.partition("[")
        keys.append((key, name.removesuffix("]") or None))
    return keys


# What changes with every write, whoever writes.
_VOLATILE = {"etag", "eTag", "systemData", "modifiedDate", "lastSkuUpdate", "quotaNextResetTime"}


def lasting(body: Any) -> Any:
    """A resource without what changes with every write."""
    if isinstance(body, dict):
        return {key: lasting(value) for key, value in body.items() if key not in _VOLATILE}
    return [lasting(item) for item in body] if isinstance(body, list) else body
