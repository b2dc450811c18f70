"""`list`, `status` and `fleet` where there is nothing, and that looking for what isn't there is quick."""

import http.server
import json
import threading
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from aks_postgres.cli.columns import table
from aks_postgres.cli.listing import fitting, row_lines, watched
from aks_postgres.reports.listing import FoundEnvironment
from aks_postgres.runs.last_runs import with_last_runs
from aks_postgres.tasks.environments import environments_in
from azure_sandbox.client import SandboxProcess

from .conftest import NAMED, Run
from .test_commands import failed, writes


@pytest.mark.thorough
def test_a_list_of_nothing_is_empty(run: Run, sandbox: SandboxProcess, state: Path) -> None:
    done = run("list", "--state", state, "--json")
    assert (done.returncode, json.loads(done.stdout)) == (0, [])
    assert writes(sandbox) == []


@pytest.mark.parametrize(
    "command",
    [
        ("outputs", *NAMED),
        *(
            pytest.param(one, marks=pytest.mark.thorough)
            for one in (("kubeconfig", *NAMED), ("status", "cnpg", "canadacentral"))
        ),
    ],
)
def test_what_isn_t_there_is_said_after_two_lists(
    run: Run, sandbox: SandboxProcess, state: Path, command: tuple[str, ...]
) -> None:
    done = run(*command, "--state", state)
    failed(done, 1, "there is no environment cnpg-canadacentral", "there: none", "aks-postgres provision")
    assert len(sandbox.ledger(service="arm")) == 2


@pytest.mark.thorough
def test_a_fleet_needs_regions_and_somebody_who_says_yes(
    run: Run, sandbox: SandboxProcess, state: Path
) -> None:
    failed(run("fleet", "--name", "cnpg", "--state", state), 2, "--region", "--regions-file")
    failed(run("fleet", "--name", "cnpg", "--region", "westus3", "--state", state), 2, "fleet asks", "--yes")
    assert sandbox.ledger() == []


ONE = FoundEnvironment(name="cnpg", region="westus3", generation=1, state="current", resource_group="rg")
TAGS = {
    "managed-by": "aks-postgres",
    "aks-postgres-environment": "cnpg-westus3",
    "aks-postgres-generation": "1",
}


@pytest.fixture
def prefect() -> Iterator[tuple[str, list[dict[str, str]]]]:
    """A server that answers as Prefect does, and what it was asked."""
    asked: list[dict[str, str]] = []
    run = {
        "name": "plan cnpg in westus3",
        "state_name": "Drift",
        "id": "1",
        "start_time": "2026-11-29T13:08:00Z",
    }
    runs = [{**run, "tags": ["aks-postgres", "shop", "westus3"]}, {**run, "tags": ["cnpg", "westus3"]}]

    class Answers(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append({"path": self.path, "authorization": self.headers.get("authorization", "")})
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(runs).encode())

        def log_message(self, *_: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/api", asked
        server.shutdown()
        thread.join()


def test_the_last_run_is_the_newest_of_that_environment(
    prefect: tuple[str, list[dict[str, str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, asked = prefect
    assert with_last_runs((ONE,)) == (ONE,)
    monkeypatch.setenv("PREFECT_API_URL", url)
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", "me:word")
    (found,) = with_last_runs((ONE,))
    assert found.last_run
    assert (found.last_run.name, found.last_run.state) == ("plan cnpg in westus3", "Drift")
    assert asked == [{"path": "/api/flow_runs/filter", "authorization": "Basic bWU6d29yZA=="}]
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    assert with_last_runs((ONE,)) == (ONE,)


def test_the_end_of_a_version_is_known_by_its_minor() -> None:
    group = {"name": "rg", "location": "westus3", "tags": TAGS}
    properties = {"currentKubernetesVersion": "1.35.4", "provisioningState": "Succeeded"}
    cluster = {"id": "/subscriptions/s/resourceGroups/rg/c", "name": "aks", "properties": properties}
    (found,) = environments_in([group], [cluster], datetime(2026, 11, 29, tzinfo=UTC))
    assert (found.kubernetes_version, found.support_ends) == ("1.35.4", date(2027, 3, 31))


def test_a_narrow_terminal_gets_the_columns_that_matter_and_a_pipe_all() -> None:
    header = ("NAME", "REGION", "STATE", "ENDS", "USD A DAY", "LAST RUN")
    row = ("cnpg", "canadacentral", "current", "2027-03", "29 to 49", "provision Completed, 2026-11-29 13:08")
    assert fitting(header, [row], None) == (header, [row])
    assert fitting(header, [row], 120) == (header, [row])
    kept, _ = fitting(header, [row], 80)
    assert kept == ["NAME", "REGION", "STATE", "USD A DAY", "LAST RUN"]
    assert fitting(header, [row], 40)[0] == ["NAME", "REGION", "STATE"]
    writer = ("NAME", "WRITING"), [("cnpg", "the run tear down cnpg in northeurope (f22229a9) on vm")]
    assert table(*fitting(*writer, 40)) == ["NAME  WRITING", "cnpg  the run tear down cnpg in ..."]


def test_a_row_of_a_status_breaks_between_words_on_a_terminal_alone() -> None:
    text = "3 of 3 ready, primary pg-primary-cnpg-cl8cbeme-1, " + "x" * 70
    (whole,) = row_lines("instances", text, None)
    assert whole.endswith(text)
    first, *rest = row_lines("instances", text, 80)
    assert first.startswith("instances ")
    assert [line.startswith(" " * 23 + text.split()[-1][0]) for line in rest] == [True]
    assert len(row_lines("psql", text, 80)) == 1


def test_what_is_watched_is_shown_until_ctrl_c(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[float] = []

    def pause(seconds: float) -> None:
        seen.append(seconds)
        if len(seen) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr("time.sleep", pause)
    shown: list[int] = []
    watched(lambda: shown.append(1), 5)
    assert (len(shown), seen) == (3, [5, 5, 5])
