"""The two distributions: what is in their wheels, and the product beside a project with folders of the same names."""

import ast
import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from ..built import FOLDERS, REPOSITORY, build_sdist, build_wheels, copy_repository


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """The files of each wheel, by the distribution's name."""
    folder = tmp_path_factory.mktemp("wheels")
    copy = copy_repository(folder)
    files = build_wheels(folder, *(copy / source for source in FOLDERS.values()))
    return {file.name.partition("-")[0]: names_in(file) for file in files}


def names_in(wheel: Path) -> set[str]:
    return set(zipfile.ZipFile(wheel).namelist())


@pytest.mark.thorough
def test_each_wheel_has_one_package_at_its_top_and_nothing_of_the_other(wheels: dict[str, set[str]]) -> None:
    assert set(wheels) == {"aks_postgres", "azure_sandbox"}
    for name, files in wheels.items():
        assert {file.partition("/")[0] for file in files if ".dist-info/" not in file} == {name}


@pytest.mark.thorough
def test_the_products_wheel_holds_its_flows_its_steps_and_what_deploying_needs(
    wheels: dict[str, set[str]],
) -> None:
    for folder in ("flows", "tasks"):
        for file in (REPOSITORY / folder).glob("*.py"):
            assert f"aks_postgres/{folder}/{file.name}" in wheels["aks_postgres"]
    tracked = subprocess.run(
        ["git", "ls-files", "deployments"], cwd=REPOSITORY, capture_output=True, text=True, check=True
    ).stdout.split()
    assert tracked
    assert {f"aks_postgres/deploy/data/{file.removeprefix('deployments/')}" for file in tracked} <= wheels[
        "aks_postgres"
    ]
    assert {"aks_postgres/py.typed", "aks_postgres/reports/prices.yaml"} <= wheels["aks_postgres"]
    assert "azure_sandbox/py.typed" in wheels["azure_sandbox"]


PROJECTS = tuple(REPOSITORY / folder for folder in FOLDERS.values())


@pytest.mark.thorough
@pytest.mark.parametrize("name", FOLDERS)
def test_an_sdist_holds_what_the_wheel_does_and_gives_the_same_one(
    name: str, wheels: dict[str, set[str]], tmp_path: Path
) -> None:
    """Links in the package are files in it, as a wheel is built of it without the repository."""
    package = name.replace("-", "_")
    sdist = build_sdist(tmp_path, copy_repository(tmp_path) / FOLDERS[name])
    with tarfile.open(sdist) as archive:
        held = {one.name.partition("/")[2] for one in archive.getmembers() if one.isfile()}
    wheel = wheels[package]
    assert any(file.endswith(".dist-info/licenses/LICENSE") for file in wheel)
    assert {f"src/{file}" for file in wheel if ".dist-info/" not in file} - held == set()
    # Nothing of the other, and no tests without what they need.
    around = {file for file in held - {"MANIFEST.in"} if not file.startswith(f"src/{package}/")}
    assert {file for file in around if not file.startswith(f"src/{package}.egg-info/")} == {
        "LICENSE",
        "PKG-INFO",
        "README.md",
        "pyproject.toml",
        "setup.cfg",
    }
    (built,) = build_wheels(tmp_path, sdist)
    assert names_in(built) == wheel


@pytest.mark.parametrize("folder", PROJECTS, ids=[*FOLDERS])
def test_a_release_has_a_version_its_changelog_and_the_pythons_it_was_tried_with(folder: Path) -> None:
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    version = project["version"]
    assert re.search(
        rf"^## {re.escape(version)} - 20\d\d-\d\d-\d\d$", (folder / "CHANGELOG.md").read_text(), re.M
    )
    pythons = [one.rpartition(" ")[2] for one in project["classifiers"] if "Python :: 3." in one]
    assert pythons == ["3.11", "3.12", "3.13"]
    assert "Typing :: Typed" in project["classifiers"]
    program = Path(sys.executable).parent / project["name"]
    printed = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    assert printed == f"{project['name']} {version}\n"


def test_it_runs_in_a_folder_that_has_flows_and_tasks_of_its_own(tmp_path: Path) -> None:
    for folder in ("flows", "tasks", "cli", "environment"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "__init__.py").write_text("raise ImportError('not ours')\n")
    code = (
        "import importlib, pkgutil, aks_postgres.flows as ours\n"
        "for module in pkgutil.iter_modules(ours.__path__, ours.__name__ + '.'):\n"
        "    importlib.import_module(module.name)\n"
        "from prefect.flows import load_flow_from_entrypoint\n"
        "print(load_flow_from_entrypoint('aks_postgres.flows.plan.plan').name)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],  # without -P: the folder is first on the path, as Prefect has it
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "plan\n"), done.stderr


# Its errors, names or URLs are what the other one's own interface hands out.
PART_OF = {
    "coolname": "prefect",
    "httpx": "prefect",
    "pydantic_core": "pydantic",
    "urllib3": "kubernetes",
    "yarl": "aiohttp",
}


def imported(folder: Path) -> set[str]:
    """Modules of others that the files of a folder import, wherever they do."""
    found = set()
    for file in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                found.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
                found.add(node.module)
    return {name for name in found if name.partition(".")[0] not in sys.stdlib_module_names}


@pytest.mark.parametrize(
    ("project", "code", "extras", "own"),
    [
        (".", ["src", "flows", "tasks"], {"helm"}, {"aks_postgres"}),
        (".", ["tests"], {"helm", "dev"}, {"aks_postgres", "azure_sandbox"}),
        ("packages/azure-sandbox", ["src"], {"pytest"}, {"azure_sandbox"}),
        ("packages/azure-sandbox", ["tests"], {"pytest", "dev"}, {"azure_sandbox"}),
    ],
)
def test_a_distribution_requires_what_it_imports(
    project: str, code: list[str], extras: set[str], own: set[str]
) -> None:
    declared = tomllib.loads((REPOSITORY / project / "pyproject.toml").read_text())["project"]
    optional = declared["optional-dependencies"]
    wanted = [*declared["dependencies"], *(each for extra in extras for each in optional[extra])]
    names = {re.split(r"[\[<>=]", requirement)[0].lower().replace("_", "-") for requirement in wanted}
    provided = packages_distributions()

    def is_required(module: str) -> bool:
        if module.startswith("azure."):  # A name that many distributions share.
            return any(f"{module}.".startswith(f"{name.replace('-', '.')}.") for name in names)
        top = module.partition(".")[0]
        return PART_OF.get(top) in names or any(
            known.lower().replace("_", "-") in names for known in provided.get(top, ())
        )

    modules = {module for folder in code for module in imported(REPOSITORY / project / folder)}
    others = {module for module in modules if module.partition(".")[0] not in own}
    assert others
    assert [module for module in sorted(others) if not is_required(module)] == []
