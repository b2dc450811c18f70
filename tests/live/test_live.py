"""The live test itself, with a sandbox in Azure's place: it keeps to its budget and leaves nothing, killed or not."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from prefect.settings import PREFECT_API_URL

from aks_postgres.preflight.vm_sizes import SYSTEM_POOL_GIB, SYSTEM_POOL_VCPUS, judge_sizes, vm_sizes
from aks_postgres.reports.cost import cost_of
from aks_postgres.reports.recordings import read_recording
from azure_sandbox.client import SandboxProcess

from ..conftest import point_at, spec_for
from ..flows.conftest import quicken, writes
from .budget import Budget, changed, prices_a_day, small

Json = dict[str, Any]
SUBSCRIPTION = "11111111-2222-4333-8444-555555555555"
LONGEST_S = 900
STAGES = [
    "doctor",
    "plan",
    "provision",
    "second run",
    "plan of a finished environment",
    "one change",
    "tear-down",
]
PARTS = [*STAGES, "clean-up"]
# Which part a process is killed in, and how far into it: in writes where the part writes, else in requests.
POINTS = [
    ("doctor", 0.0),
    ("doctor", 0.5),
    ("plan", 0.4),
    *(("provision", share / 10) for share in range(10)),
    ("second run", 0.4),
    ("plan of a finished environment", 0.2),
    ("one change", 0.5),
    *(("tear-down", share) for share in (0.1, 0.4, 0.7, 0.9)),
    *(("clean-up", share) for share in (0.0, 0.2, 0.8)),
]


@pytest.fixture(autouse=True)
def _plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AKS_POSTGRES_LIVE_SPEC", raising=False)


def test_the_environment_is_small_and_its_one_change_is_one(azure: SandboxProcess) -> None:
    spec = small(SUBSCRIPTION, "canadacentral", "abcd1234")
    pools = (spec.system_pool, spec.postgres_pool)
    assert [(pool.min_count, len(pool.zones)) for pool in pools] == [(1, 1), (1, 1)]
    assert (spec.system_pool.max_count, changed(spec).postgres_pool.max_count) == (1, 3)
    assert (spec.storage.sku, spec.cluster.tier, spec.monitoring.grafana_zone_redundancy, spec.database) == (
        "Standard_LRS",
        "Free",
        False,
        None,
    )
    differs = {name for name, value in spec if value != getattr(changed(spec), name)}
    assert differs == {"postgres_pool"}


def test_no_offered_vm_size_that_the_rules_allow_has_fewer_vcpus(azure: SandboxProcess) -> None:
    path = f"/subscriptions/{azure.subscription_id}/providers/Microsoft.Compute/skus?api-version=2021-07-01"
    sizes = vm_sizes(azure.arm("GET", path).json()["value"], "canadacentral")
    spec = small(SUBSCRIPTION, "canadacentral", "abcd1234")
    assert not judge_sizes(spec, sizes).problems
    system, postgres = (
        sizes[pool.vm_size.casefold()].vcpus for pool in (spec.system_pool, spec.postgres_pool)
    )
    # https://learn.microsoft.com/azure/aks/use-system-pools
    assert (system, SYSTEM_POOL_VCPUS, SYSTEM_POOL_GIB) == (4, 4, 4)
    assert postgres == min(size.vcpus for size in sizes.values()) == 2
    for size in sizes.values():
        if size.vcpus < system:
            pool = spec.system_pool.model_copy(update={"vm_size": size.name})
            assert judge_sizes(spec.model_copy(update={"system_pool": pool}), sizes).problems, size.name


@pytest.mark.parametrize("region", ["canadacentral", "eastus", "northeurope", "qatarcentral"])
def test_nothing_is_free_because_nobody_knows_its_price(region: str) -> None:
    spec = changed(small(SUBSCRIPTION, region, "abcd1234"))
    prices = prices_a_day(spec)
    known = {line.what: line.high_usd for line in cost_of(spec).lines if line.high_usd is not None}
    assert len(prices) == len(cost_of(spec).lines)
    assert {name for name, usd in prices.items() if usd == 0} == {"AKS tier Free"}
    assert {name: usd for name, usd in prices.items() if name in known} == known


@pytest.mark.parametrize(
    ("minutes", "usd", "is_money"), [(100, 1000, False), (10_000, 2, True), (208, 5, True), (207, 5, False)]
)
def test_money_and_minutes_are_both_kept_to(minutes: float, usd: float, is_money: bool) -> None:
    spec = small(SUBSCRIPTION, "canadacentral", "abcd1234")
    # By the list prices of Canada Central and of the dearest region, of what the one change makes it.
    a_day_usd = sum(
        [
            4 * 0.214 * 24,  # nodes
            4 * 22.67 / 730 * 24,  # their disks
            2 * 0.005 * 24,  # addresses
            0.025 * 24,  # load balancer
            2 * 0.04959 * 24 + 6 / 730 * 24,  # Grafana and its user
            4 * 0.5 * 3.34,  # logs
            1,  # metrics
            100 * 0.0208 / 730 * 24,  # backups
        ]
    )
    within = Budget(minutes, clean_up_minutes=45, usd=usd).minutes_within(spec)
    assert within == pytest.approx(usd * 1440 / a_day_usd if is_money else minutes)


@pytest.mark.parametrize(("minutes", "usd"), [(20, 1000), (10_000, 1)])
def test_a_budget_that_is_spent_by_the_clean_up_is_refused(minutes: float, usd: float) -> None:
    with pytest.raises(ValueError, match="raise the budget"):
        Budget(minutes, clean_up_minutes=45, usd=usd).minutes_within(
            small(SUBSCRIPTION, "canadacentral", "abcd1234")
        )


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
    folder.mkdir(exist_ok=True)
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


def guardian_of(pid: int) -> int:
    """The process that cleans up after this one."""
    children = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    (found,) = (
        child for child in children if b"tests.live.clean_up" in Path(f"/proc/{child}/cmdline").read_bytes()
    )
    return found


def what_is_there(azure: SandboxProcess) -> set[str]:
    return {one["id"] for one in azure.control("GET", "resources")["resources"]}


BUDGET = ("--minutes", "60", "--clean-up-minutes", "30", "--usd", "1000")


@dataclass(frozen=True)
class Moment:
    """How far a live test has come, as its output, its folder and the sandbox tell."""

    part: str
    requests: int
    writes: int


def moment(azure: SandboxProcess, folder: Path) -> Moment:
    ledger = azure.ledger()
    told = (folder / "out").read_text().splitlines()
    begun = ["", *(part for part in STAGES if f"live test: {part}" in told)]
    # Either process records into a file of its own, once it has connected to Azure.
    if len(list((folder / "recording").glob("*.jsonl"))) > 1:
        begun.append("clean-up")
    return Moment(begun[-1], len(ledger), len(writes(ledger)))


def keep(begins: dict[str, Moment], now: Moment) -> None:
    """Note the first moment of the part, and of those before it that nobody saw on a busy machine."""
    for part in PARTS[: PARTS.index(now.part) + 1] if now.part else []:
        begins.setdefault(part, now)


@dataclass(frozen=True)
class Whole:
    """An undisturbed live test."""

    code: int
    result: Json
    recorded: set[str]
    before: set[str]
    after: set[str]
    begins: dict[str, Moment]
    end: Moment

    def size(self, part: str, unit: str) -> int:
        """How many requests or writes the part took."""
        following = [self.begins[name] for name in PARTS[PARTS.index(part) + 1 :]]
        return int(getattr([*following, self.end][0], unit) - getattr(self.begins[part], unit))


@pytest.fixture(scope="module")
def whole(
    sandbox_process: SandboxProcess, prefect_api: None, tmp_path_factory: pytest.TempPathFactory
) -> Whole:
    sandbox_process.reset()
    folder = tmp_path_factory.mktemp("whole") / "live"
    begins: dict[str, Moment] = {}
    with pytest.MonkeyPatch.context() as patch:
        point_at(sandbox_process, patch)
        quicken(sandbox_process)
        before = what_is_there(sandbox_process)
        with live(sandbox_process, folder, *BUDGET) as process:
            while process.poll() is None:
                now = moment(sandbox_process, folder)
                keep(begins, now)
                time.sleep(0.05)
    return Whole(
        process.returncode,
        json.loads((folder / "result.json").read_text()),
        {entry["method"] for entry in read_recording(folder / "recording")},
        before,
        what_is_there(sandbox_process),
        begins,
        moment(sandbox_process, folder),
    )


@pytest.mark.thorough
@pytest.mark.timeout(900)
def test_the_whole_of_it(whole: Whole) -> None:
    assert [stage["stage"] for stage in whole.result["stages"]] == STAGES
    assert (whole.code, whole.result["stopped"], whole.result["left"]) == (0, "", [])
    assert whole.after == whole.before
    assert whole.recorded >= {"GET", "PUT", "DELETE"}
    assert [part for part in PARTS if whole.size(part, "writes")] == [
        "provision",
        "one change",
        "tear-down",
        "clean-up",
    ]


@pytest.mark.thorough
@pytest.mark.timeout(900)
def test_what_the_doctor_finds_stops_it_before_any_write(
    azure: SandboxProcess, tmp_path: Path, prefect_api: None
) -> None:
    quicken(azure)
    azure.settings(quota={"standardDSv5Family": 4})
    folder = tmp_path / "live"
    with live(azure, folder, *BUDGET) as process:
        assert process.wait(LONGEST_S) == 1
    result = json.loads((folder / "result.json").read_text())
    assert ([stage["stage"] for stage in result["stages"]], result["stopped"]) == (["doctor"], "doctor")
    assert "standardDSv5Family" in result["stages"][0]["said"]
    assert result["left"] == []
    assert writes(azure.ledger()) == []


@pytest.mark.thorough
@pytest.mark.timeout(900)
@pytest.mark.parametrize("spent", ["time", "money"])
def test_what_takes_too_long_is_stopped_within_the_budget(
    azure: SandboxProcess, tmp_path: Path, prefect_api: None, monkeypatch: pytest.MonkeyPatch, spent: str
) -> None:
    # So slow that a run's own deadline is further away than the budget's end.
    azure.control("POST", "reset", {"seed": 1, "speed": 100})
    monkeypatch.setenv("AKS_POSTGRES_TIME_SCALE", "100")
    quicken(azure)
    # Twice as long as the budget; no deletion begins before AKS has ended it.
    azure.settings(durations={"aks_cluster_create": 9000})
    before = what_is_there(azure)
    folder = tmp_path / "live"
    minutes = 30.75
    a_day_usd = sum(prices_a_day(changed(small(SUBSCRIPTION, "canadacentral", "abcd1234"))).values())
    budget = {"time": (minutes, 1000), "money": (10_000, minutes / 1440 * a_day_usd)}[spent]
    options = ("--minutes", f"{budget[0]}", "--usd", f"{budget[1]}", "--clean-up-minutes", "30")
    with live(azure, folder, *options) as process:
        assert process.wait(LONGEST_S) == 1
    assert writes(azure.ledger())
    result = json.loads((folder / "result.json").read_text())
    assert (result["stopped"], result["left"]) == ("budget", [])
    assert what_is_there(azure) == before


@pytest.mark.thorough
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("part", "share"), POINTS)
def test_killed_at_any_point_it_leaves_nothing(
    whole: Whole, azure: SandboxProcess, tmp_path: Path, part: str, share: float
) -> None:
    quicken(azure)
    before = what_is_there(azure)
    folder = tmp_path / "live"
    unit = "writes" if whole.size(part, "writes") else "requests"
    # Rounded down, so that a run that takes fewer comes there too.
    wanted = int(share * whole.size(part, unit))
    begins: dict[str, Moment] = {}
    with live(azure, folder, *BUDGET) as process:
        while process.poll() is None:
            now = moment(azure, folder)
            keep(begins, now)
            # A busy machine may see it in the next part only.
            if part in begins and getattr(now, unit) - getattr(begins[part], unit) >= wanted:
                break
            time.sleep(0.05)
        assert process.poll() is None, f"it ended before {part} had {wanted} {unit}: {begins}"
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        assert PARTS.index(now.part) >= PARTS.index(part)
        assert getattr(now, unit) >= getattr(begins[part], unit) + wanted
        if part in ("doctor", "plan"):
            assert now.writes == 0
        else:
            # A slow run renews its lock more often, so the other's count isn't this one's.
            assert now.writes > 0 or (part == "provision" and wanted == 0)
        print(f"killed at {now}; {wanted} {unit} of {part} were wanted")
        assert ended(folder)["left"] == []
    assert what_is_there(azure) == before


@pytest.mark.thorough
@pytest.mark.timeout(900)
def test_where_the_process_that_cleans_up_is_killed_another_takes_its_place(
    azure: SandboxProcess, tmp_path: Path, prefect_api: None
) -> None:
    quicken(azure)
    before = what_is_there(azure)
    folder = tmp_path / "live"
    folder.mkdir()
    (folder / "left.json").write_text(json.dumps({"left": []}))  # of a test before
    with live(azure, folder, *BUDGET) as process:
        while moment(azure, folder).part != "provision":
            assert process.poll() is None
            time.sleep(0.05)
        os.kill(guardian_of(process.pid), signal.SIGKILL)
        assert process.wait(LONGEST_S) == 0, (folder / "out").read_text()[-3000:]
    result = json.loads((folder / "result.json").read_text())
    assert ([stage["stage"] for stage in result["stages"]], result["left"]) == (STAGES, [])
    assert what_is_there(azure) == before


@pytest.mark.thorough
@pytest.mark.timeout(900)
def test_what_no_tear_down_takes_away_is_deleted_as_it_is_and_recorded(
    azure: SandboxProcess, tmp_path: Path, prefect_api: None
) -> None:
    quicken(azure)
    before = what_is_there(azure)
    folder = tmp_path / "live"
    # Of the time that is left, 60 % are for tear-downs.
    budget = ("--minutes", "1.5", "--clean-up-minutes", "1", "--usd", "1000")
    with live(azure, folder, *budget) as process:
        while not azure.ledger(operation="AgentPools_CreateOrUpdate"):
            assert process.poll() is None
            time.sleep(0.05)
        process.kill()
        denied = {"status": 403, "code": "AuthorizationFailed", "message": "no right to that"}
        azure.fault(denied, operation="BlobContainers_Lease", times=None)
        found = ended(folder)
    assert found["left"] == []
    groups = [text for text in found["clean_up"] if text.startswith("deleted as they are: ")]
    assert len(groups) == 1
    assert what_is_there(azure) == before
    deleted = [entry for entry in read_recording(folder / "recording") if entry["method"] == "DELETE"]
    assert len(deleted) == groups[0].count("rg-live-") == 2
    assert {entry["status"] for entry in deleted} == {202}


def test_killed_before_it_began_there_is_nothing_to_clean_up(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.live.clean_up", str(tmp_path), str(time.time() + 60)]
    subprocess.run(command, stdin=subprocess.DEVNULL, check=True)
    assert ended(tmp_path)["left"] == []
