"""The search for secrets sees what it is there for."""

import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from . import canary
from .canary import COMMANDS, Arguments, conclude, names_in, search


def test_a_secret_among_a_processs_arguments_is_seen_and_another_ones_is_not() -> None:
    arguments = Arguments()
    secrets = {"given": "canary-of-an-argument-1", "kept": "canary-of-an-argument-2"}
    command = [sys.executable, "-c", "import sys; sys.stdin.read()", secrets["given"]]
    with (
        arguments.watched(),
        subprocess.Popen(command, stdin=subprocess.PIPE) as process,
    ):
        deadline = time.monotonic() + 60
        while not arguments.holding(secrets) and time.monotonic() < deadline:
            time.sleep(0.1)
        process.communicate()
    assert set(arguments.holding(secrets)) == {("a process's arguments", "given")}


def test_a_secret_is_seen_in_each_form_that_a_text_may_have_of_it() -> None:
    secret = 'a "quoted" p/ss+word'
    forms = (
        secret.encode(),
        b"YSAicXVvdGVkIiBwL3NzK3dvcmQ=",
        b"a%20%22quoted%22%20p%2Fss%2Bword",
        b'a \\"quoted\\" p/ss+word',
    )
    for form in forms:
        assert names_in(b"before " + form + b" after", {"password": secret}) == ["password"], form
    assert names_in(b"a quoted p/ss+word", {"password": secret}) == []


WHOLE: dict[str, Any] = {
    "runs": {
        "succeeds": 0,
        "fails": 1,
        "crashes": -signal.SIGKILL,
        "is interrupted": -signal.SIGINT,
        "has a database": 0,
    },
    "commands": dict.fromkeys(COMMANDS, 0),
    "found": 0,
    "finds_a_planted_one": True,
}
BAD: dict[str, tuple[str, dict[str, int]]] = {
    "a run failed": ("runs", {"succeeds": 1}),
    "a run that should fail didn't": ("runs", {"fails": 0}),
    "a run that should crash didn't": ("runs", {"crashes": 0}),
    "a run that should be interrupted ended": ("runs", {"is interrupted": 0}),
    "there is no database": ("runs", {"has a database": 1}),
    "a command failed": ("commands", {"psql": 1}),
    "the demo didn't start": ("commands", {"demo start": 1}),
}


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What is written to docs/resilience.json."""
    written: list[Any] = []
    monkeypatch.setattr(canary, "write_figures", lambda _part, summary: written.append(summary))
    return written


@pytest.mark.parametrize("how", BAD)
def test_a_bad_run_is_left_unrecorded_and_its_output_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], recorded: list[Any], how: str
) -> None:
    part, ended = BAD[how]
    (name,) = ended
    shown = name if part == "runs" else f"command {name}"
    (tmp_path / f"{shown}.out").write_text("its last words")
    assert conclude(tmp_path, {**WHOLE, part: WHOLE[part] | ended}) == 1
    assert recorded == []
    said = capsys.readouterr().out
    assert said.splitlines() == [
        f"not as it was meant to end, so nothing is recorded: {shown}",
        "its last words",
    ]


@pytest.mark.parametrize(("seen", "code"), [({}, 0), ({"found": 1}, 1), ({"finds_a_planted_one": False}, 1)])
def test_a_whole_run_is_recorded_whatever_it_found(
    tmp_path: Path, recorded: list[Any], seen: dict[str, Any], code: int
) -> None:
    assert conclude(tmp_path, WHOLE | seen) == code
    assert recorded == [WHOLE | seen]


@pytest.mark.parametrize(
    ("place", "is_searched"),
    [
        ("command tear-down.out", True),
        ("commands/prefect.yaml", True),
        ("recording succeeds/one.json", True),
        ("recording of commands/one.json", True),
        ("prefect/prefect.db", True),
        ("plan.json", True),
        ("kubeconfig", True),
        ("home/.prefect/profiles.toml", True),
        ("tmp/a", True),
        ("sandbox/ledger.jsonl", True),
        ("demo/server.log", True),
        ("demo/worker.json", True),
        ("demo/prefect/prefect.db", True),
        ("demo/sandbox/ledger.jsonl", True),
        ("sandbox/sandbox.json", False),
        ("demo/sandbox/sandbox.json", False),
    ],
)
def test_every_place_is_searched_but_what_a_sandbox_keeps_for_itself(
    tmp_path: Path, place: str, is_searched: bool
) -> None:
    file = tmp_path / place
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("here is canary-of-a-place")
    assert search(tmp_path, {"it": "canary-of-a-place"}) == ([(place, "it")] if is_searched else [])


def test_what_goes_with_the_tear_down_is_searched_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recorded: list[Any]
) -> None:
    sandbox = SimpleNamespace(description={"client_secret": "canary-of-a-client"})
    (tmp_path / "sandbox").mkdir()
    data = tmp_path / "tmp" / "postgres.log"

    def run(folder: Path, name: str, _given: tuple[str, ...], **_more: str) -> int:
        if name == "psql":
            data.write_text("canary-of-a-client")
        if name == "tear-down":
            data.unlink()
            (folder / "command tear-down.out").write_text("canary-of-a-client")
        return 0

    def leak(folder: Path, _azure: Any, _way: str) -> None:
        (folder / "leaks.out").write_text("canary-of-a-client")
        (folder / "prefect.db").write_text("canary-of-a-client")

    stood_in: dict[str, Any] = {
        "WAYS": (),
        "start": lambda *_: SimpleNamespace(terminate=lambda: None, wait=lambda timeout: None),
        "SandboxProcess": lambda _: sandbox,
        "prefect_server": lambda *_: nullcontext(SimpleNamespace(api="http://nowhere.example/api")),
        "point_at": lambda *_: None,
        "secrets_in_the_cluster": lambda _: {},
        "_with_database": lambda _: SimpleNamespace(model_dump_json=lambda: "{}"),
        "_command": run,
        "_demo": lambda *_: {"demo start": 0, "demo stop": 0},
        "_log_lines": lambda _: 1,
        "_one": leak,
    }
    for name, stand_in in stood_in.items():
        monkeypatch.setattr(canary, name, stand_in)
    with monkeypatch.context() as patch:
        assert vars(canary)["_search"](tmp_path, patch) == 1
    (summary,) = recorded
    assert summary["places"] == [
        "client secret in command tear-down.out",
        "client secret in tmp/postgres.log",
    ]
    assert set(summary["commands"]) == {*COMMANDS, "tear-down", "demo start", "demo stop"}
