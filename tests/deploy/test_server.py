"""What the real commands leave on a real Prefect server, and what its automations then do."""

import asyncio
import json
import os
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
import pytest_asyncio
import yaml
from prefect import flow, get_client
from prefect.blocks.notifications import CustomWebhookNotificationBlock
from prefect.blocks.system import Secret
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.actions import DeploymentScheduleCreate, WorkPoolUpdate
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterId
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.schedules import CronSchedule
from prefect.events import Event
from prefect.events.clients import get_events_client
from prefect.events.schemas.automations import EventTrigger, Posture
from prefect.exceptions import PrefectHTTPStatusError
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Cancelling, Completed, Failed, Paused, Pending, Running, Scheduled
from prefect.workers.process import ProcessWorker
from typer.testing import CliRunner

from aks_postgres.cli import deployments as command
from aks_postgres.deploy.automations import automations, notification_block, send_test_notification
from aks_postgres.deploy.regions import read_regions
from aks_postgres.deploy.registered import compare
from aks_postgres.deploy.rendering import by_name, document, text_of
from aks_postgres.deploy.work_pools import POOLS, WORK_POOL, base_job_template
from aks_postgres.exit_codes import CommandFailed, ExitCode
from aks_postgres.flows.plan import DRIFT_EVENT

from ..bench.processes import Database, NoPostgreSQL, postgresql, prefect_server

pytestmark = pytest.mark.thorough

REPOSITORY = Path(__file__).parents[2]
OURS = ["aks-postgres"]


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database | None]:
    """PostgreSQL, as a server has it that matters; None where it isn't installed: the server then has SQLite."""
    try:
        with postgresql(tmp_path_factory.mktemp("postgresql")) as database:
            yield database
    except NoPostgreSQL:
        yield None


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory, database: Database | None) -> Iterator[str]:
    """A Prefect server with all its services."""
    with prefect_server(tmp_path_factory.mktemp("server"), database) as server:
        yield server.api


@pytest_asyncio.fixture
async def client(api: str) -> AsyncIterator[PrefectClient]:
    """Its client, and the settings that make every other client reach it."""
    with temporary_settings({PREFECT_API_URL: api}):
        async with get_client() as client:
            yield client


@contextmanager
def served(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """The address of an HTTP server."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


async def setup(
    capsys: pytest.CaptureFixture[str], *, notify: str | None = None, **options: Any
) -> list[str]:
    """What `aks-postgres deployments setup` prints, without the columns' spaces."""
    await command.prepare_server(notify, options.get("slow_after_min", 45), options.get("pool_type"))
    return [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]


async def test_setting_up_twice_ends_the_same_and_leaves_the_rest_alone(
    client: PrefectClient, capsys: pytest.CaptureFixture[str]
) -> None:
    foreign = next(automations(None, 1)).model_copy(update={"name": "somebody else's"})
    foreign_id = await client.create_automation(foreign)
    first = await setup(capsys)
    assert len(first) == len(POOLS) + len(list(automations(None, 45)))
    assert all(line.startswith("created ") for line in first)

    waits = "aks-postgres: a run waits for approval"
    (switched_off,) = await client.read_automations_by_name(waits)
    await client.pause_automation(switched_off.id)
    assert await setup(capsys) == [line.replace("created", "unchanged") for line in first]
    (still_off,) = await client.read_automations_by_name(waits)
    assert not still_off.enabled
    assert still_off.id == switched_off.id

    changed = [line for line in await setup(capsys, slow_after_min=60) if not line.startswith("unchanged")]
    assert changed == [
        f"updated automation aks-postgres: a run of {name} is slow"
        for name in ("plan", "provision", "provision-fleet", "deploy-database", "tear-down", "rebuild")
    ]
    live = await client.find_automation(str(foreign_id))
    assert live is not None
    assert live.name == "somebody else's"
    await client.delete_automation(foreign_id)


async def test_a_pool_that_is_there_gets_our_template_only_when_its_type_is_said(
    client: PrefectClient, capsys: pytest.CaptureFixture[str]
) -> None:
    await setup(capsys)
    loose = ProcessWorker.get_default_base_job_template()
    await client.update_work_pool(WORK_POOL, WorkPoolUpdate(base_job_template=loose))
    assert f"unchanged work pool {WORK_POOL} (process)" in await setup(capsys)
    assert (await client.read_work_pool(WORK_POOL)).base_job_template == loose
    assert f"updated work pool {WORK_POOL} (process)" in await setup(capsys, pool_type="process")
    assert (await client.read_work_pool(WORK_POOL)).base_job_template == base_job_template("process", "write")
    assert f"unchanged work pool {WORK_POOL} (process)" in await setup(capsys, pool_type="process")
    with pytest.raises(CommandFailed, match="it is of type process, docker was given"):
        await setup(capsys, pool_type="docker")


@pytest.mark.parametrize(
    "variables",
    [
        {"command": "env"},
        {"env": {"A": "b"}},
        {"env.A": "b"},
        {"working_dir": "/"},
        {"image": "x"},
        {"service_account_name": "x"},
    ],
)
async def test_the_server_refuses_job_variables_of_deployments_and_of_their_runs(
    client: PrefectClient, capsys: pytest.CaptureFixture[str], variables: dict[str, Any]
) -> None:
    await setup(capsys)
    flow_id = await client.create_flow_from_name("provision")
    with pytest.raises(PrefectHTTPStatusError, match="422"):
        await client.create_deployment(flow_id, "evil", work_pool_name=WORK_POOL, job_variables=variables)
    made = await client.create_deployment(flow_id, "fine", work_pool_name=WORK_POOL, tags=["not ours"])
    with pytest.raises(PrefectHTTPStatusError, match="422"):
        await client.create_flow_run_from_deployment(made, job_variables=variables)
    await client.delete_deployment(made)


async def test_people_are_told_through_the_block_that_was_named_once(
    client: PrefectClient, capsys: pytest.CaptureFixture[str]
) -> None:
    block = await CustomWebhookNotificationBlock(name="x", url="http://127.0.0.1:9").save(
        "on-call", overwrite=True
    )  # type: ignore[misc]
    await Secret(value="x").save("no-messenger", overwrite=True)  # type: ignore[misc]

    async def told_by() -> set[UUID | None]:
        found = [await client.read_automations_by_name(wanted.name) for wanted in automations(None, 45)]
        actions = [action for (live,) in found for action in live.actions]
        return {
            getattr(action, "block_document_id", None)
            for action in actions
            if action.type != "change-flow-run-state"
        }

    await setup(capsys)
    assert await told_by() == {None}
    assert "updated automation aks-postgres: a run failed" in await setup(
        capsys, notify="custom-webhook/on-call"
    )
    assert await told_by() == {block}
    assert not [line for line in await setup(capsys) if line.startswith("updated")]
    assert await told_by() == {block}

    for reference, why in {
        "on-call": "no such block; TYPE/NAME of a notification block is expected",
        "custom-webhook/off-call": "no such block",
        "secret/no-messenger": "a block of type secret can't notify",
    }.items():
        with pytest.raises(CommandFailed, match=f"--notify {reference}: .*{why}"):
            await notification_block(client, reference)


@pytest.mark.timeout(300)
async def test_a_test_notification_is_sent_by_the_server_with_the_named_block(
    client: PrefectClient,
    database: Database | None,
    messages: tuple[str, dict[str, str]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    if database is None:
        pytest.skip("needs PostgreSQL: on SQLite Prefect loses events, as 'database is locked'")
    for live in await client.read_automations():
        await client.delete_automation(live.id)
    await setup(capsys)
    with pytest.raises(CommandFailed, match="no notification block is named, so nobody would be told"):
        await send_test_notification(client, 60)
    address, got = messages
    block = CustomWebhookNotificationBlock(
        name="x", url=address, json_data={"subject": "{{subject}}", "text": "{{body}}"}
    )
    await block.save("tester", overwrite=True)  # type: ignore[misc]
    await setup(capsys, notify="custom-webhook/tester")
    assert await send_test_notification(client, 200) == "custom-webhook/tester"
    assert "aks-postgres: a test notification" in got


async def refusal(api: str | None) -> CommandFailed:
    """What `aks-postgres deployments setup` says of a server."""
    with temporary_settings({PREFECT_API_URL: api}):
        done = await asyncio.to_thread(CliRunner().invoke, command.app, ["setup"])
    assert isinstance(done.exception, CommandFailed)
    assert done.output == ""
    return done.exception


async def test_a_server_that_asks_for_a_password_is_named_with_the_variable_for_it() -> None:
    class Guarded(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/api/health" else 401)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Keep quiet."""

    with served(Guarded) as address:
        refused = await refusal(f"{address}/api")
    assert refused.code == ExitCode.CREDENTIALS
    assert f"the Prefect server at {address}/api wants to know who asks: set PREFECT_API_AUTH_STRING" in str(
        refused
    )


async def test_a_server_has_to_be_named() -> None:
    refused = await refusal(None)
    assert refused.code == ExitCode.BAD_INPUT
    assert "which server? Set PREFECT_API_URL" in str(refused)


@pytest.fixture
def deploy(api: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Render a regions file and register it with Prefect's own command, which reaches this machine only."""

    def run(regions: str) -> list[dict[str, Any]]:
        (tmp_path / "regions.yaml").write_text(regions)
        file = tmp_path / "prefect.yaml"
        file.write_text(text_of(document(read_regions(tmp_path / "regions.yaml"))))
        monkeypatch.chdir(tmp_path)
        nowhere = dict.fromkeys(
            ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), "http://127.0.0.1:9"
        )
        done = subprocess.run(
            [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all", "--prefect-file", str(file)],
            cwd=REPOSITORY,
            env={
                **os.environ,
                **nowhere,
                "NO_PROXY": "127.0.0.1",
                "no_proxy": "127.0.0.1",
                "PREFECT_API_URL": api,
                "PREFECT_HOME": str(tmp_path / "prefect"),
            },
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        found: list[dict[str, Any]] = yaml.safe_load(file.read_text())["deployments"]
        return found

    return run


async def runs_of(client: PrefectClient, deployment_id: UUID) -> list[FlowRun]:
    wanted = DeploymentFilter(id=DeploymentFilterId(any_=[deployment_id]))
    return await client.read_flow_runs(deployment_filter=wanted)


async def registered(client: PrefectClient) -> dict[str, DeploymentResponse]:
    """The deployments on our work pools, by name."""
    return {
        f"{(await client.read_flow(deployment.flow_id)).name}/{deployment.name}": deployment
        for deployment in await client.read_deployments()
        if deployment.work_pool_name in POOLS.values()
    }


async def leave_from_earlier(client: PrefectClient) -> UUID:
    """What an earlier prefect.yaml registered: northeurope's rebuild with the word, and a region that is gone."""
    word: dict[str, Any] = {"confirm": "cnpg-northeurope", "strategy": "replace"}
    cron = CronSchedule(cron="0 3 * * 0", timezone="Europe/Dublin")
    schedule = DeploymentScheduleCreate(schedule=cron, slug="rebuild", active=True, parameters=word)
    flow_id = await client.create_flow_from_name("rebuild")
    ours: dict[str, Any] = {"work_pool_name": WORK_POOL, "tags": OURS}
    deployment_id = await client.create_deployment(flow_id, "northeurope", schedules=[schedule], **ours)
    await client.create_deployment(flow_id, "westus3", **ours)
    await client.create_deployment(flow_id, "somebody-elses", work_pool_name=WORK_POOL, tags=["not ours"])
    await client.create_deployment(flow_id, "somewhere-else", tags=OURS)
    return deployment_id


async def test_deploying_registers_what_the_regions_file_says_and_no_more(
    client: PrefectClient, deploy: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    await setup(capsys)
    old_id = await leave_from_earlier(client)
    async with asyncio.timeout(150):
        while not await runs_of(client, old_id):
            await asyncio.sleep(0.5)
    wanted = deploy(
        """
        - spec: {name: cnpg, region: canadacentral}
          drift: {cron: "15 6 * * *", timezone: America/Toronto}
          rebuild: {cron: "0 3 * * 0", timezone: America/Toronto, confirm: cnpg-canadacentral, strategy: replace}
        - spec: {name: cnpg, region: northeurope}
        """
    )
    live = await registered(client)
    names = list(by_name(wanted))
    assert set(live) == {*names, "rebuild/westus3", "rebuild/somebody-elses"}
    for name, one in zip(names, wanted, strict=True):
        found = live[name]
        assert found.enforce_parameter_schema
        assert (found.parameters, found.tags, found.description, found.entrypoint) == (
            one["parameters"],
            one["tags"],
            one["description"],
            one["entrypoint"],
        )
        assert (found.work_pool_name, found.job_variables) == (one["work_pool"]["name"], {})
        assert [
            (s.slug, s.schedule.cron, s.schedule.timezone, s.active, s.parameters)  # type: ignore[union-attr]
            for s in found.schedules
        ] == [
            (s["slug"], s["cron"], s["timezone"], s["active"], s.get("parameters", {}))
            for s in one.get("schedules", [])
        ]

    # The run form: what a person has to type is asked for, and a value of the wrong kind is refused.
    with pytest.raises(PrefectHTTPStatusError, match=r"409(.|\n)*'confirm' is a required property"):
        await client.create_flow_run_from_deployment(live["tear-down/northeurope"].id)
    too_few = {"spec": {"name": "cnpg", "region": "northeurope", "postgres_pool": {"min_count": 0}}}
    with pytest.raises(PrefectHTTPStatusError, match="409"):
        await client.create_flow_run_from_deployment(live["provision/northeurope"].id, parameters=too_few)

    # A scheduled run gets the word from its schedule, beside the deployment's own parameters.
    rebuild = live["rebuild/canadacentral"]
    assert rebuild.schedules[0].active
    async with asyncio.timeout(150):
        while not (runs := await runs_of(client, rebuild.id)):
            await asyncio.sleep(0.5)
    for run in runs:
        assert run.parameters == {
            "spec": {"name": "cnpg", "region": "canadacentral"},
            "confirm": "cnpg-canadacentral",
            "strategy": "replace",
        }
        assert run.expected_start_time is not None
        local = run.expected_start_time.astimezone(ZoneInfo("America/Toronto"))
        assert (local.weekday(), local.hour, local.minute) == (6, 3, 0)

    # What the file no longer says is off, without the word, and so are the runs that were due.
    assert live["rebuild/northeurope"].id == old_id
    (off,) = live["rebuild/northeurope"].schedules
    assert not off.active
    assert off.parameters == {"strategy": "blue_green"}
    assert await runs_of(client, old_id) == []

    # What it no longer has is named, and goes when asked for.
    assert {name: what for name, what in (await compare(client, by_name(wanted))).items() if what} == {
        "rebuild/westus3": ("left over", ", which the regions file no longer has")
    }
    await command.delete_left_over(set(names))
    assert capsys.readouterr().out == "deleted    deployment rebuild/westus3\n"
    assert set(await registered(client)) == {*names, "rebuild/somebody-elses"}
    assert await client.read_deployment_by_name("rebuild/somewhere-else")


def shortened(trigger: Any) -> Any:
    """The trigger with a short time, where it waits for something that doesn't come."""
    assert isinstance(trigger, EventTrigger)
    # Prefect allows 10 s; a busy machine may take as long between two beats.
    within = timedelta(seconds=30) if trigger.posture == Posture.Proactive else trigger.within
    return trigger.model_copy(update={"within": within})


@flow
def provision() -> None:
    """Stands for ours, whose runs the automations know by flow name and tag."""


@pytest.fixture
def messages() -> Iterator[tuple[str, dict[str, str]]]:
    """A messenger: its address, and the texts that came by subject."""
    got: dict[str, str] = {}

    class Messenger(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            got[message["subject"]] = message["text"]
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Keep quiet."""

    with served(Messenger) as address:
        yield address, got


@pytest.mark.timeout(400)
async def test_automations_act_on_our_runs_and_on_no_others(
    client: PrefectClient, database: Database | None, messages: tuple[str, dict[str, str]]
) -> None:
    if database is None:
        pytest.skip("needs PostgreSQL: on SQLite Prefect loses events, as 'database is locked'")
    address, got = messages
    text = {"subject": "{{subject}}", "text": "{{body}}"}
    messenger = CustomWebhookNotificationBlock(name="messenger", url=address, json_data=text)
    block = await messenger.save("messenger", overwrite=True)  # type: ignore[misc]
    for wanted in automations(block, 1):
        await client.create_automation(wanted.model_copy(update={"trigger": shortened(wanted.trigger)}))
    key = "aks-postgres.environment.cnpg-canadacentral"
    runs: dict[str, UUID] = {}

    flow_id = await client.create_flow(provision)
    deployment_id = await client.create_deployment(flow_id, "of-the-automations")
    of_deployment = {
        "prefect.resource.id": f"prefect.deployment.{deployment_id}",
        "prefect.resource.role": "deployment",
    }

    async def run(what: str, *states: Any, tags: list[str] = OURS) -> None:
        created = await client.create_flow_run_from_deployment(deployment_id, tags=tags, state=Pending())
        runs[what] = created.id
        for state in states:
            await client.set_flow_run_state(created.id, state, force=True)

    async def beat(what: str, tags: list[str] = OURS) -> None:
        related = [
            {"prefect.resource.id": f"prefect.tag.{tag}", "prefect.resource.role": "tag"} for tag in tags
        ] + [of_deployment]
        resource = {"prefect.resource.id": f"prefect.flow-run.{runs[what]}"}
        await events.emit(Event(event="prefect.flow-run.heartbeat", resource=resource, related=related))  # type: ignore[arg-type]

    async def keep_beating(what: str) -> None:
        while True:
            await beat(what)
            await asyncio.sleep(1)

    async def fired() -> set[tuple[str, str]]:
        wanted = {"event": {"name": ["prefect.automation.triggered"]}}
        answer = await client._client.post("/events/filter", json={"filter": wanted, "limit": 50})
        about = {f"prefect.flow-run.{run_id}": what for what, run_id in runs.items()} | {key: "environment"}
        return {
            (event["resource"]["prefect.resource.name"].removeprefix("aks-postgres: "), about[what])
            for event in answer.json()["events"]
            if (what := event["payload"]["triggering_labels"]["prefect.resource.id"]) in about
        }

    # The server reads new automations every few seconds.
    await asyncio.sleep(3)
    async with get_events_client() as events:
        for what in ("dead", "alive", "suspended", "done"):
            await run(what, Running())
            await beat(what)
        await run("foreign", Running(), tags=["other"])
        await beat("foreign", tags=["other"])
        await run("foreign failure", Failed(), tags=["other"])
        await run("failed", Failed(message='no "quota"'))
        await run("late", Scheduled(name="Late"))
        await run("resumed", Running(), Paused(timeout_seconds=600), Scheduled(name="Resuming"))
        await run("cancelling", Running(), Cancelling())
        terminal = await client.create_flow_run(provision, tags=OURS, state=Running())
        runs["from a terminal"] = terminal.id
        await client.set_flow_run_state(terminal.id, Failed(), force=True)
        await client.set_flow_run_state(runs["suspended"], Paused(timeout_seconds=600), force=True)
        await client.set_flow_run_state(runs["done"], Completed(name="NothingToDo"), force=True)
        drift = {"prefect.resource.id": key, "prefect.resource.name": "cnpg-canadacentral"}
        found = {"event": DRIFT_EVENT, "resource": drift, "payload": {"summary": "1 to update"}}
        await events.emit(Event(**found, related=[of_deployment]))  # type: ignore[arg-type]
        expected = {
            ("a run failed", "failed"),
            ("an environment drifted", "environment"),
            ("a run waits for approval", "suspended"),
            ("a run died", "dead"),
            ("a run of provision is slow", "dead"),
            ("a run of provision is slow", "alive"),
            ("no worker takes a run", "late"),
            ("a run waits for approval", "resumed"),
            ("an approved run doesn't go on", "resumed"),
            ("a cancelled run doesn't end", "cancelling"),
        }
        # Beside the questions below, which take a busy server long.
        beating = asyncio.create_task(keep_beating("alive"))
        try:
            async with asyncio.timeout(240):
                while (
                    not expected <= await fired()
                    or (await client.read_flow_run(runs["dead"])).state_name != "Crashed"
                ):
                    await asyncio.sleep(2)
        except TimeoutError:
            assert await fired() == expected  # says which is missing
            raise
        finally:
            beating.cancel()
    # A run that was ended is a crashed one, and so a failure to tell of, sooner or later.
    assert await fired() - {("a run failed", "dead")} == expected
    name = (await client.read_flow_run(runs["failed"])).name
    assert got[f"aks-postgres: {name}: Failed"] == f'no "quota"\n\n{runs["failed"]}'
    assert got["aks-postgres: drift in cnpg-canadacentral"].startswith("1 to update")
    states = {what: (await client.read_flow_run(run_id)).state_name for what, run_id in runs.items()}
    assert states == {
        "dead": "Crashed",
        "alive": "Running",
        "suspended": "Paused",
        "done": "NothingToDo",
        "foreign": "Running",
        "foreign failure": "Failed",
        "failed": "Failed",
        "late": "Late",
        "resumed": "Resuming",
        "cancelling": "Cancelling",
        "from a terminal": "Failed",
    }
