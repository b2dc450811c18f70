"""The live test itself, with a sandbox in Azure's place: it keeps to its budget and leaves nothing, killed or not."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prefect.settings import PREFECT_API_URL

from aks_postgres.reports.recordings import read_recording
from azure_sandbox.client import SandboxProcess

from ..conftest import spec_for
from ..flows.conftest import quicken, writes
from .budget import Budget, changed, small

Json = dict[str, Any]
SUBSCRIPTION = "11111111-2222-4333-8444-555555555555"
POINTS = 20
LONGEST_S = 900


@pytest.fixture(autouse=True)
def _plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AKS_POSTGRES_LIVE_SPEC", raising=False)


def test_the_environment_is_small_and_its_one_change_is_one() -> None:
    spec = small(SUBSCRIPTION, "canadacentral", "abcd1234")
    assert (spec.system_pool.max_count, spec.postgres_pool.min_count, spec.storage.sku) == (
        1,
        1,
        "Standard_LRS",
    )
    differs = {name for name, value in spec if value != getattr(changed(spec), name)}
    assert differs == {"postgres_pool"}


@pytest.mark.parametrize(
    ("minutes", "usd", "within"), [(100, 1000, 100), (10_000, 1, None), (20, 1000, None)]
)
def test_money_and_minutes_are_both_kept_to(minutes: float, usd: float, within: float | None) -> None:
    spec = small(SUBSCRIPTION, "canadacentral", "abcd1234")
    budget = Budget(minutes, clean_up_minutes=45, usd=usd)
    if within is not None:
        assert budget.minutes_within(spec) == within
    elif usd == 1:
        a_day = Budget(10_000, 0.1, 1).minutes_within(spec)
        assert 0 < a_day < 10_000
    else:
        with pytest.raises(ValueError, match="raise the budget"):
            budget.minutes_within(spec)


def test_the_subscription_has_to_be_typed(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.live", "--folder", str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert "--subscription" in ended.stderr
    assert list(tmp_path.iterdir()) == []


@contextlib.contextmanager
def live(azure: SandboxProcess, folder: Path, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    operator = spec_for(azure).operator
    more = {"operator": {"manifest_url": operator.manifest_url, "manifest_sha256": operator.manifest_sha256}}
    environ = {
        **os.environ,
        "AKS_POSTGRES_LIVE_SPEC": json.dumps(more),
        "PREFECT_API_URL": str(PREFECT_API_URL.value()),
    }
    command = [
        sys.executable,
        "-m",
        "tests.live",
        "--subscription",
        azure.subscription_id,
        "--folder",
        str(folder),
    ]
    folder.mkdir()
    with (folder / "out").open("wb") as out:
        process = subprocess.Popen([*command, *options], stdout=out, stderr=out, env=environ)
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def ended(folder: Path) -> Json:
    """What the process that cleans up found in the end."""
    deadline = time.monotonic() + LONGEST_S
    while not (folder / "left.json").exists():
        assert time.monotonic() < deadline, (folder / "clean-up.log").read_text()[-3000:]
        time.sleep(0.2)
    found: Json = json.loads((folder / "left.json").read_text())
    return found


def what_is_there(azure: SandboxProcess) -> set[str]:
    return {one["id"] for one in azure.control("GET", "resources")["resources"]}


BUDGET = ("--minutes", "60", "--clean-up-minutes", "30", "--usd", "1000")


@pytest.mark.thorough
@pytest.mark.timeout(900)
def test_the_whole_of_it(azure: SandboxProcess, tmp_path: Path, prefect_api: None) -> None:
    quicken(azure)
    before = what_is_there(azure)
    folder = tmp_path / "live"
    with live(azure, folder, *BUDGET) as process:
        assert process.wait(LONGEST_S) == 0, (folder / "out").read_text()[-3000:]
    result = json.loads((folder / "result.json").read_text())
    assert (len(result["stages"]), result["stopped"], result["left"]) == (7, "", [])
    assert what_is_there(azure) == before
    assert {entry["method"] for entry in read_recording(folder / "recording")} >= {"GET", "PUT", "DELETE"}


@pytest.mark.thorough
@pytest.mark.timeout(900)
def test_what_never_ends_is_stopped_within_the_budget(
    azure: SandboxProcess, tmp_path: Path, prefect_api: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    # So slow that a run's own deadline is further away than the budget's end.
    azure.control("POST", "reset", {"seed": 1, "speed": 100})
    monkeypatch.setenv("AKS_POSTGRES_TIME_SCALE", "100")
    quicken(azure)
    azure.settings(durations={"aks_cluster_create": 10**7})
    before = what_is_there(azure)
    folder = tmp_path / "live"
    with live(azure, folder, "--minutes", "30.35", "--clean-up-minutes", "30", "--usd", "1000") as process:
        assert process.wait(LONGEST_S) == 1
    result = json.loads((folder / "result.json").read_text())
    assert (result["stopped"], result["left"]) == ("budget", [])
    assert what_is_there(azure) == before


@pytest.mark.thorough
@pytest.mark.timeout(900)
@pytest.mark.parametrize("point", range(POINTS))
def test_killed_at_any_point_it_leaves_nothing(
    azure: SandboxProcess, tmp_path: Path, prefect_api: None, point: int
) -> None:
    quicken(azure)
    before = what_is_there(azure)
    folder = tmp_path / "live"
    # A whole run writes some ninety times.
    after = 1 + point * 4
    with live(azure, folder, *BUDGET) as process:
        while process.poll() is None and len(writes(azure.ledger())) < after:
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert ended(folder)["left"] == []
    assert what_is_there(azure) == before
