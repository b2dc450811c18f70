"""`aks-postgres deployments` in a folder that has nothing but a regions file of one's own."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import DeploymentUpdate
from prefect.settings import PREFECT_API_URL, temporary_settings
from typer.testing import CliRunner

from aks_postgres.cli.deployments import app
from aks_postgres.deploy.regions import read_regions
from aks_postgres.deploy.work_pools import POOLS
from aks_postgres.exit_codes import CommandFailed

from ..bench.processes import prefect_server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Prefect server, for this file."""
    with (
        prefect_server(tmp_path_factory.mktemp("server"), None) as found,
        temporary_settings({PREFECT_API_URL: found.api}),
    ):
        yield found.api


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, and this process in it."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


async def run(*arguments: str) -> tuple[int, str]:
    done = await asyncio.to_thread(CliRunner().invoke, app, list(arguments))
    if isinstance(done.exception, CommandFailed):
        return int(done.exception.code), done.output + str(done.exception)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.output


async def test_a_regions_file_is_written_with_its_explanation_and_not_over_another(folder: Path) -> None:
    assert (await run("init"))[0] == 0
    assert read_regions(folder / "regions.yaml")
    assert "# spec " in (folder / "regions.yaml").read_text()
    (folder / "regions.yaml").write_text("mine")
    code, said = await run("init")
    assert (code, "is there already" in said, (folder / "regions.yaml").read_text()) == (2, True, "mine")


async def test_without_a_regions_file_it_says_how_to_get_one(folder: Path) -> None:
    for command in ("render", "apply", "check", "prune"):
        code, said = await run(command)
        assert (code, "aks-postgres deployments init" in said) == (2, True), command


async def test_the_workers_of_one_machine_say_how_they_are_at_a_port_each_and_to_nobody_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    started: list[tuple[str, str]] = []

    def execve(_program: str, _command: list[str], environment: dict[str, str]) -> None:
        server = "PREFECT_WORKER_WEBSERVER"
        started.append((environment[f"{server}_HOST"], environment[f"{server}_PORT"]))

    monkeypatch.setattr(os, "execve", execve)
    for identity in POOLS:
        await run("worker", identity)
    monkeypatch.setenv("PREFECT_WORKER_WEBSERVER_HOST", "0.0.0.0")
    monkeypatch.setenv("PREFECT_WORKER_WEBSERVER_PORT", "9000")
    await run("worker", "delete")
    here = "127.0.0.1"
    assert started == [(here, "8080"), (here, "8081"), (here, "8082"), ("0.0.0.0", "9000")]


@pytest.mark.thorough
async def test_what_the_file_says_is_registered_compared_moved_and_pruned(folder: Path, server: str) -> None:
    (folder / "regions.yaml").write_text(
        "- spec: {name: cnpg, region: canadacentral}\n- spec: {name: cnpg, region: northeurope}\n"
    )
    code, said = await run("check")
    assert (code, said.count("missing ")) == (1, 9)
    code, said = await run("apply")
    assert (code, said.count("created    deployment")) == (0, 9), said
    code, said = await run("check")
    assert (code, said.count("unchanged ")) == (0, 9), said

    async def registered(name: str) -> Any:
        async with get_client() as client:
            return await client.read_deployment_by_name(name)

    found = await registered("provision/canadacentral")
    assert (found.entrypoint, found.pull_steps or []) == ("aks_postgres.flows.provision.provision", [])

    # As an earlier version left it: by its path, with a folder to go to first.
    async with get_client() as client:
        await client.update_deployment(
            found.id,
            DeploymentUpdate(
                entrypoint="flows/provision.py:provision",
                pull_steps=[{"prefect.deployments.steps.set_working_directory": {"directory": "/srv"}}],
            ),
        )
    code, said = await run("check")
    (line,) = [line for line in said.splitlines() if line.startswith("differs")]
    assert code == 1
    assert "provision/canadacentral: entrypoint flows/provision.py:provision -> aks_postgres.flows" in line
    assert "pull steps" in line
    code, said = await run("apply")
    assert (code, said.count("updated    deployment"), said.count("unchanged  deployment")) == (0, 1, 8)
    assert (await run("check"))[0] == 0

    (folder / "regions.yaml").write_text("- spec: {name: cnpg, region: canadacentral}\n")
    assert (await run("apply"))[0] == 0
    code, said = await run("check")
    assert (code, said.count("left over  deployment")) == (1, 4), said
    code, said = await run("prune")
    assert (code, said.count("deleted    deployment")) == (0, 4)
    assert (await run("check"))[0] == 0
