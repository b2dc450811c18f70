"""`python -m tests.live.clean_up FOLDER UNTIL`: wait until the live test has ended or is gone, and leave nothing.

Its standard input is a pipe that the live test holds: the spec comes through it, and its end says that the test is
over, however it ended. First an ordinary tear-down with backups and data, as often as it takes; then, if that doesn't
do, the groups that bear this environment's tags and computed names are deleted as they are.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
import traceback
from pathlib import Path
from typing import Any

_GROUPS = "2024-11-01"
# Kept for the forced part.
_FORCED_SHARE = 0.4
_MOST_GENERATIONS = 5


def main() -> int:
    """Wait, clean up, and write `left.json`."""
    folder, until = Path(sys.argv[1]), float(sys.argv[2])
    given = sys.stdin.readline()
    sys.stdin.read()
    if not given.endswith("\n"):  # killed before it had said what to make, so it made nothing
        return _found(folder, [], ["the test never began"], 0)
    began = time.time()
    os.environ["AKS_POSTGRES_RECORD"] = str(folder / "recording")
    said: list[str] = []
    left: list[str] | None = None
    try:
        from aks_postgres.cli.environment import prefect_found
        from aks_postgres.spec.environment import EnvironmentSpec

        spec = EnvironmentSpec.model_validate_json(given)
        with prefect_found(quiet=True):
            left = asyncio.run(_clean_up(spec, began, until, said))
    except Exception as error:
        traceback.print_exc()
        said.append(f"{type(error).__name__}: {error}"[:2000])
    return _found(folder, left, said, time.time() - began)


def _found(folder: Path, left: list[str] | None, said: list[str], took_s: float) -> int:
    found = {"left": left, "clean_up": said, "clean_up_s": round(took_s)}
    (folder / "left.new").write_text(json.dumps(found, indent=2))
    (folder / "left.new").rename(folder / "left.json")
    return 0 if left == [] else 1


async def _clean_up(spec: Any, began: float, until: float, said: list[str]) -> list[str]:
    from aks_postgres.flows.tear_down import tear_down
    from aks_postgres.runs.session import subscription_of
    from aks_postgres.spec.names import Names

    key = f"{spec.name}-{spec.region}"
    account = Names.of(spec, subscription_of(spec), 1).storage_account
    in_order = began + (1 - _FORCED_SHARE) * (until - began)
    while left := await _left(spec):
        try:
            async with asyncio.timeout(max(in_order - time.time(), 0)):
                receipt = await tear_down(spec, key, delete_backups=account, discard_data=key)
                said.append(receipt.headline)
        except TimeoutError:
            said.append("an orderly tear-down took too long")
            break
        except Exception as error:
            traceback.print_exc()
            said.append(f"{type(error).__name__}: {error}"[:2000])
            if time.time() > in_order or said.count(said[-1]) > 2:
                break
    if left:
        said.append(f"deleted as they are: {', '.join(left)}")
        await _delete(spec, left)
    while (left := await _left(spec)) and time.time() < until:
        await asyncio.sleep(1)
    return left


async def _left(spec: Any) -> list[str]:
    """The groups that are this test's, by tags and by name."""
    from aks_postgres.runs.session import run_session, subscription_of
    from aks_postgres.spec.names import Names, is_ours

    names = [Names.of(spec, subscription_of(spec), number) for number in range(1, _MOST_GENERATIONS)]
    computed = {name.casefold() for one in names for name in (one.resource_group, one.backup_group)}
    async with run_session(spec, read_only=True) as run:
        found = [group.as_dict() async for group in run.azure.resources.resource_groups.list()]
    return [
        str(group["name"])
        for group in found
        if str(group["name"]).casefold() in computed and is_ours(group.get("tags"), spec)
    ]


async def _delete(spec: Any, groups: list[str]) -> None:
    """Ask ARM to delete whole groups, recorded: no lock, no gate; this is the last resort of a test."""
    from azure.core import AsyncPipelineClient
    from azure.core.pipeline import AsyncPipeline
    from azure.core.pipeline.transport import AioHttpTransport
    from azure.core.rest import HttpRequest

    from aks_postgres.arm.client import FreshTokenPolicy
    from aks_postgres.arm.recording import RecordPolicy
    from aks_postgres.runs.session import run_session

    async with run_session(spec, read_only=True) as run:
        azure = run.azure
        assert azure.recording is not None
        past_the_gate: AsyncPipeline[Any, Any] = AsyncPipeline(
            AioHttpTransport(session=azure.http, session_owner=False),
            policies=[
                FreshTokenPolicy(azure.credential, f"{azure.facts.audience}/.default"),
                RecordPolicy(azure.recording),
            ],
        )
        arm: AsyncPipelineClient[Any, Any] = AsyncPipelineClient(azure.endpoint, pipeline=past_the_gate)
        for name in groups:
            url = f"{azure.endpoint}/subscriptions/{azure.subscription_id}/resourceGroups/{name}"
            answer = await arm.send_request(HttpRequest("DELETE", url, params={"api-version": _GROUPS}))
            print(f"DELETE {name}: {answer.status_code}")


if __name__ == "__main__":
    sys.exit(main())
