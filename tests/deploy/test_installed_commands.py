"""The commands of `aks-postgres deployments` as they are installed, and an install without the sandbox."""

from pathlib import Path

import pytest
import yaml

from aks_postgres.exit_codes import ExitCode

from ..bench.processes import prefect_server
from ..built import build_sdist, copy_repository
from .installed import Project, install, install_into, install_wheels


@pytest.mark.thorough
@pytest.mark.timeout(600)
def test_the_installed_wheel_renders_sets_up_checks_and_prunes_from_an_empty_folder(
    tmp_path: Path,
) -> None:
    project = Project(install_wheels(tmp_path, copy_repository(tmp_path)), tmp_path / "project")
    regions = project.empty / "regions.yaml"
    with prefect_server(tmp_path, None) as server:
        project.variables["PREFECT_API_URL"] = server.api
        project.run("aks-postgres", "deployments", "init")
        first, second = yaml.safe_load(regions.read_text())
        project.run("aks-postgres", "deployments", "render")
        project.run("aks-postgres", "deployments", "render", "--check")

        made = project.deployments("setup")
        assert (made["created work pool"], set(made)) == (3, {"created work pool", "created automation"})
        again = {name.replace("created", "unchanged"): count for name, count in made.items()}
        assert project.deployments("setup") == again

        assert project.deployments("check", ends=ExitCode.FAILED) == {"missing deployment": 9}
        # What Prefect's own command registers of the file lacks our forms only.
        project.run("python", "-P", "-m", "prefect", "--no-prompt", "deploy", "--all")
        said = project.run("aks-postgres", "deployments", "check", ends=ExitCode.FAILED)
        differing = [line for line in said.splitlines() if line.startswith("differs ")]
        assert differing
        assert {line.rpartition(": ")[2] for line in differing} <= {"form", "parameters, form"}
        assert project.deployments("apply")["updated deployment"] == len(differing)
        assert project.deployments("check") == {"unchanged deployment": 9}

        regions.write_text(yaml.safe_dump([first]))
        stale = project.run("aks-postgres", "deployments", "render", "--check", ends=ExitCode.FAILED)
        assert f"-        region: {second['spec']['region']}" in stale
        project.run("aks-postgres", "deployments", "apply")
        left = {"unchanged deployment": 5, "left over deployment": 4}
        assert project.deployments("check", ends=ExitCode.FAILED) == left
        assert project.deployments("prune") == {"deleted deployment": 4}
        assert project.deployments("prune") == {}
        assert project.deployments("check") == {"unchanged deployment": 5}
    assert {file.name for file in project.empty.iterdir()} == {"regions.yaml", "prefect.yaml"}


@pytest.mark.thorough
@pytest.mark.timeout(600)
def test_a_plain_install_from_the_sdist_has_no_sandbox_and_says_how_to_install_it(
    tmp_path: Path,
) -> None:
    copy = copy_repository(tmp_path)
    plain = install(tmp_path, build_sdist(tmp_path, copy))
    project = Project(plain, tmp_path / "project")
    project.run("aks-postgres", "deployments", "init")
    project.run("aks-postgres", "deployments", "render")
    ours = {"regions.yaml", "prefect.yaml"}
    state = ["--state", str(tmp_path / "sandbox")]
    where = ["--name", "cnpg", "--region", "canadacentral", "--sandbox", *state]
    for command in (
        ["provision", "--yes", *where],
        ["plan", *where],
        ["sandbox", "start", *state],
        ["deployments", "check", "--sandbox", *state],
    ):
        said = " ".join(project.run("aks-postgres", *command, ends=ExitCode.NOT_RUNNING).split())
        assert "the sandbox isn't installed. From a clone of the repository: pip install" in said, command
        assert not (tmp_path / "sandbox").exists()
        assert {file.name for file in project.empty.iterdir()} == ours

    # As it says.
    install_into(plain, copy / "packages" / "azure-sandbox")
    project.run("aks-postgres", "sandbox", "start", *state, "--speed", "1000")
    try:
        assert "to create" in project.run("aks-postgres", "plan", *where, ends=ExitCode.CHANGES)
    finally:
        project.run("aks-postgres", "sandbox", "stop", *state)
