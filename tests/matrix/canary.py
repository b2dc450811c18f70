"""`python -m tests.matrix.canary`: plant recognisable secrets, run provision in five ways, and look for them.

Planted: the client secret, a client certificate's key and the token in the cluster's kubeconfig, a storage key and a
bearer token in Azure's own error text; every access token that Entra hands out is known by its form, and so are the
passwords and keys of every Secret that a database brings. Runs that succeed, fail, crash (kill -9) and are interrupted,
and one that makes a database on a cluster with Microsoft Entra ID, on a Prefect server, all loggers at DEBUG, each
exchange recorded (`--record`); then the commands that look at the environment: plan (kept in a file), doctor, outputs,
status, list, kubeconfig, psql, those that register deployments and automations, and the tear-down with its receipt; and
a demo, with a sandbox, a server and a worker of its own. Searched: what the runs and commands print and write, the
recordings, the Prefect database (logs, artifacts, parameters, results, events, variables, deployments, automations; a
notification shows nothing that isn't in it), home and temporary files, with PostgreSQL's data and logs among them, the
demo's folder, the sandboxes' ledgers, and the arguments of every process while they run. Left out is what Kubernetes
mounts into the pods of a Postgres cluster: a token and the certificates' keys, each in its own place. At the end a leak
is planted, which the search must find.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import datetime
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import requests
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from aks_postgres.spec.environment import EnvironmentSpec
from azure_sandbox.client import SandboxProcess, start
from azure_sandbox.postgres.programs import FOLDER

from ..bench.processes import prefect_server
from ..conftest import point_at, spec_for
from .kept import REPOSITORY
from .report import write_figures

Json = dict[str, Any]

DATABASE = "has a database"
WAYS = ("succeeds", "fails", "crashes", "is interrupted", DATABASE)
_KEY = "cnpg-canadacentral"
# Looked at with what the last run made. The name and region are a default spec's.
COMMANDS: dict[str, tuple[str, ...]] = {
    "plan": ("plan", "--out", "{folder}/plan.json", "{spec}"),
    "plan json": ("plan", "--json", "--all", "--arm-paths", "{spec}"),
    "provision plan": ("provision", "--plan", "{folder}/plan.json"),
    "outputs": ("outputs", "--json", "{spec}"),
    "status": ("status", "cnpg", "canadacentral"),
    "list": ("list",),
    "doctor": ("doctor", "{spec}"),
    "doctor json": ("doctor", "--json", "{spec}"),
    "kubeconfig": ("kubeconfig", "--file", "{folder}/kubeconfig", "{spec}"),
    "psql": ("psql", "cnpg", "canadacentral"),
    "deployments init": ("deployments", "init"),
    "deployments render": ("deployments", "render"),
    "deployments apply": ("deployments", "apply", "--one-pool"),
    "deployments check": ("deployments", "check", "--one-pool"),
}
# After a search, as PostgreSQL's data goes along.
TEAR_DOWN = ("tear-down", "--confirm", _KEY, "--discard-data", _KEY, "{spec}")
# Of Secrets in the cluster: what is secret in them. Certificates and names are shown.
_SECRET_KEYS = ("password", "pgpass", "tls.key", "ca.key", "uri", "jdbc-uri")
LEAK = "leaks"
SPEED = 1000
STORAGE_KEY = base64.b64encode(b"canary of a storage account's key, sixty-four bytes in all.....!").decode()
BEARER = "eyJjYW5hcnkiOiJiZWFyZXIifQ.eyJjYW5hcnkiOiJvZiBhbiBhY2Nlc3MgdG9rZW4ifQ.Y2FuYXJ5LXNpZ25hdHVyZQ"
# Any token of Entra's or Kubernetes': three parts, the first two JSON.
_TOKEN = re.compile(rb"eyJ[A-Za-z0-9_-]{20,}\.eyJ[A-Za-z0-9_-]{20,}\.[A-Za-z0-9_-]{20,}")
# What Kubernetes gives to pods, where the stand-in has it for each instance: the projected token of the service account
# (in a pod /var/run/secrets/azure/tokens/azure-identity-token), and the keys of the cluster's Secrets.
_MOUNTED = re.compile(
    r"tmp/azure-sandbox-postgres-[^/]+/[0-9]+/(azure-identity-token|tls/(server|streaming_replica)\.key)"
)
_LONGEST_S = 300
# Not `asyncio`: Prefect then stops in the middle of logging how it logs.
_LOGGERS = "azure,kubernetes,aks_postgres,cloud"


def main() -> int:
    """Plant, run, search."""
    parser = argparse.ArgumentParser(prog="python -m tests.matrix.canary", description=__doc__)
    parser.add_argument(
        "way", nargs="?", choices=[*WAYS, LEAK], help="one run, in this process; as the search starts it"
    )
    parser.add_argument("spec", nargs="?")
    given = parser.parse_args()
    if given.way:
        return asyncio.run(_run(given.way, json.loads(given.spec)))
    with (
        tempfile.TemporaryDirectory(prefix="aks-postgres-canary-") as folder,
        pytest.MonkeyPatch.context() as patch,
    ):
        return _search(Path(folder), patch)


def _search(folder: Path, patch: pytest.MonkeyPatch) -> int:
    folder.chmod(0o711)  # PostgreSQL is run as another account, below.
    for variable, name in (("HOME", "home"), ("TMPDIR", "tmp"), ("XDG_STATE_HOME", "home/state")):
        (folder / name).mkdir(exist_ok=True, parents=True)
        patch.setenv(variable, str(folder / name))
    patch.setenv("AKS_POSTGRES_TIME_SCALE", str(SPEED))
    patch.delenv(FOLDER, raising=False)  # Which tests set to off.
    process = start(folder / "sandbox", "--speed", str(SPEED), "--seed", "1", "--postgres", "auto")
    try:
        azure = SandboxProcess(folder / "sandbox")
        with prefect_server(folder, None) as server:
            patch.setenv("PREFECT_API_URL", server.api)
            patch.setenv("PREFECT_HOME", str(folder / "home" / ".prefect"))
            point_at(azure, patch)
            secrets = {"client secret": azure.description["client_secret"], "storage key": STORAGE_KEY}
            arguments = Arguments()
            with arguments.watched():
                for way in WAYS:
                    secrets |= _one(folder, azure, way)
                    time.sleep(3)  # Prefect sends logs in batches
                secrets |= secrets_in_the_cluster(azure)
                commands = _commands(folder, azure)
                before = search(folder, secrets)
                commands["tear-down"] = _command(folder, "tear-down", TEAR_DOWN)
                commands |= _demo(folder, secrets)
                time.sleep(3)
            found = sorted({*before, *search(folder, secrets)}) + arguments.holding(secrets)
            ways = dict(_ended(folder))
            lines = _log_lines(folder / "prefect" / "prefect.db")
            _one(folder, azure, LEAK)
            deadline = time.monotonic() + 30
            while not _is_seen(planted := search(folder, secrets)) and time.monotonic() < deadline:
                time.sleep(1)
    finally:
        process.terminate()
        process.wait(timeout=10)
    where = sorted({place for place, _ in planted})
    is_seeing = any("prefect.db" in place for place in where) and any(
        place.endswith(".out") for place in where
    )
    files = sum(1 for _ in _files(folder))
    print(
        f"runs: {ways}; {len(secrets)} secrets and every access token; {files} files, {lines} lines of log searched"
    )
    print(f"found: {len(found)}" + "".join(f"\n    {name} in {place}" for place, name in found))
    print(f"a planted leak is found: {is_seeing} ({', '.join(where)})")
    summary = {
        "runs": ways,
        "commands": commands,
        "secrets": sorted(secrets),
        "files": files,
        "log_lines": lines,
        "processes": len(arguments.seen),
        "found": len(found),
        "places": [f"{name} in {place}" for place, name in found],
        "finds_a_planted_one": is_seeing,
    }
    return conclude(folder, summary)


def conclude(folder: Path, summary: Json) -> int:
    """Record what was found, unless a run or a command didn't end as it was meant to; the exit code."""
    bad = [way for way, code in summary["runs"].items() if not _is_as_meant(way, code)]
    bad += [f"command {name}" for name, code in summary["commands"].items() if code != 0]
    for name in bad:
        print(f"not as it was meant to end, so nothing is recorded: {name}")
        print((folder / f"{name}.out").read_text()[-1500:])
    if bad:
        return 1
    write_figures("canary", summary)
    return 0 if not summary["found"] and summary["finds_a_planted_one"] else 1


def _is_as_meant(way: str, code: int) -> bool:
    if way == "is interrupted":
        return code != 0
    return code == {"fails": 1, "crashes": -signal.SIGKILL}.get(way, 0)


def _log_lines(database: Path) -> int:
    """How many lines of log the Prefect server keeps."""
    with closing(sqlite3.connect(database)) as connection:
        (count,) = connection.execute("select count(*) from log").fetchone()
    return int(count)


def _is_seen(found: list[tuple[str, str]]) -> bool:
    """Whether a leak shows in the Prefect database and in what the run printed."""
    places = {place for place, _ in found}
    return any("prefect.db" in place for place in places) and f"{LEAK}.out" in places


def _ended(folder: Path) -> Iterator[tuple[str, int]]:
    for way in WAYS:
        yield way, int((folder / f"{way}.code").read_text())


def _one(folder: Path, azure: SandboxProcess, way: str) -> dict[str, str]:
    """Run it one way, from an empty subscription; returns the secrets that were planted for it."""
    azure.control("POST", "reset", {"seed": 1, "speed": SPEED})
    azure.settings(
        registered={"Microsoft.Dashboard": True, "Microsoft.Monitor": True}, spontaneous_operations=False
    )
    secrets: dict[str, str] = {}
    spec = spec_for(azure)
    if way == DATABASE:
        _let_in(azure)
        spec = _with_database(azure)
    else:
        secrets = _plant_kubeconfig(azure)
    if way == "is interrupted":
        azure.settings(durations={"aks_pool_add": _LONGEST_S * SPEED})
    if way == "fails":
        text = f"Refused for Bearer {BEARER}: AccountKey={STORAGE_KEY};secret={azure.description['client_secret']}"
        refused = {"status": 403, "code": "RequestDisallowedByPolicy", "message": text}
        azure.fault(refused, operation="PublicIPAddresses_CreateOrUpdate", times=9)
    debug = _debug(folder / f"recording {way}")
    command = [sys.executable, "-m", "tests.matrix.canary", way, spec.model_dump_json()]
    with (folder / f"{way}.out").open("wb") as out:
        child = subprocess.Popen(command, cwd=REPOSITORY, env=os.environ | debug, stdout=out, stderr=out)
        try:
            if way == "is interrupted":
                _wait_for_write(azure, "AgentPools_CreateOrUpdate", child)
                child.send_signal(signal.SIGINT)
            child.wait(timeout=_LONGEST_S)
        except subprocess.TimeoutExpired:
            print((folder / f"{way}.out").read_text()[-3000:])
            raise
        finally:
            child.kill()
            child.wait()
    (folder / f"{way}.code").write_text(str(child.returncode))
    return secrets


def _debug(recording: Path) -> dict[str, str]:
    """Everything is logged and recorded."""
    return {
        # The tests' own settings, which came along with their fixtures, don't send any.
        "PREFECT_LOGGING_TO_API_ENABLED": "true",
        "PREFECT_LOGGING_LEVEL": "DEBUG",
        "PREFECT_LOGGING_ROOT_LEVEL": "DEBUG",
        "PREFECT_LOGGING_EXTRA_LOGGERS": _LOGGERS,
        "AKS_POSTGRES_RECORD": str(recording),
    }


def _let_in(azure: SandboxProcess) -> None:
    """Somebody gives the caller the role in clusters with Microsoft Entra ID."""
    scope = f"{azure.subscription}/providers/Microsoft.Authorization"
    properties = {
        "roleDefinitionId": f"{scope}/roleDefinitions/b1ff04bb-8a4e-4dc4-8eb5-8693973ce19b",
        "principalId": azure.object_id,
        "principalType": "ServicePrincipal",
    }
    path = f"{scope}/roleAssignments/{uuid.uuid4()}"
    answer = azure.arm("PUT", path, {"properties": properties}, api_version="2022-04-01")
    assert answer.status_code == 201, answer.text
    azure.settings(role_effect_s=0)


def _with_database(azure: SandboxProcess) -> EnvironmentSpec:
    components = {
        f"{name}_manifest_{part}": azure.description[f"{name}_manifest_{part}"]
        for name in ("cert_manager", "plugin")
        for part in ("url", "sha256")
    }
    return spec_for(azure, database={"components": components}, cluster={"access": "entra"})


def secrets_in_the_cluster(azure: SandboxProcess) -> dict[str, str]:
    """What is secret in the Secrets of the clusters, as the sandbox stores them."""
    found: dict[str, str] = {}

    def look(value: Any) -> None:
        if isinstance(value, list):
            for one in value:
                look(one)
        if not isinstance(value, dict):
            return
        if value.get("kind") == "Secret" and isinstance(value.get("data"), dict):
            for key in _SECRET_KEYS:
                if given := base64.b64decode(str(value["data"].get(key) or "")).decode():
                    name = f"{key} of Secret {value['metadata']['name']}"
                    if "PRIVATE KEY" in given:
                        found[f"{name}, encoded"] = str(value["data"][key])
                        given = _line_of(given)
                    found[name] = given
        for one in value.values():
            look(one)

    look(azure.control("GET", "state"))
    assert any(name.startswith("password of Secret db-user-pass") for name in found), sorted(found)
    return found


def _line_of(key: str) -> str:
    """The line in the middle of a private key, which no certificate has: alike in a file, in JSON and in a log."""
    lines = key.splitlines()[1:-1]
    return lines[len(lines) // 2]


def _commands(folder: Path, azure: SandboxProcess) -> dict[str, int]:
    """Run each command on what is there; their exit codes."""
    spec, work = folder / "spec.json", folder / "commands"
    spec.write_text(_with_database(azure).model_dump_json())
    work.mkdir()
    psql = folder / "psql"
    psql.write_text("#!/bin/sh\nexit 0\n")
    psql.chmod(0o755)
    variables = {"AKS_POSTGRES_PSQL": str(psql)}
    return {name: _command(folder, name, given, **variables) for name, given in COMMANDS.items()}


def _demo(folder: Path, secrets: dict[str, str]) -> dict[str, int]:
    """Start and stop a demo; its exit codes. What is secret in it is added to the secrets."""
    where = ("--folder", "{folder}/demo")
    try:
        start_it = ("demo", "start", *where)
        ended = {"demo start": _command(folder, "demo start", start_it, **{FOLDER: "off"})}
        described = json.loads((folder / "demo" / "sandbox" / "sandbox.json").read_text())
        secrets["client secret of the demo"] = described["client_secret"]
    finally:
        stopped = _command(folder, "demo stop", ("demo", "stop", *where))
    return ended | {"demo stop": stopped}


def _command(folder: Path, name: str, given: tuple[str, ...], **more: str) -> int:
    """Run one command, with everything logged; its exit code."""
    spec = str(folder / "spec.json")
    arguments = [
        part
        for one in given
        for part in (("--spec", spec) if one == "{spec}" else (one.format(folder=folder),))
    ]
    with (folder / f"command {name}.out").open("wb") as out:
        return subprocess.run(
            [sys.executable, "-P", "-m", "aks_postgres.cli.main", *arguments],
            cwd=folder / "commands",
            env=os.environ | _debug(folder / "recording of commands") | more,
            stdout=out,
            stderr=out,
            stdin=subprocess.DEVNULL,
            timeout=_LONGEST_S,
            check=False,
        ).returncode


def _wait_for_write(azure: SandboxProcess, operation: str, child: subprocess.Popen[bytes]) -> None:
    while child.poll() is None and not azure.ledger(operation=operation, method="PUT"):
        time.sleep(0.05)


def _plant_kubeconfig(azure: SandboxProcess) -> dict[str, str]:
    """Have the cluster's credentials come with a client certificate and its key, beside the token."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "canary")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    user = {
        "client-certificate-data": base64.b64encode(
            certificate.public_bytes(serialization.Encoding.PEM)
        ).decode(),
        "client-key-data": base64.b64encode(pem.encode()).decode(),
    }
    threading.Thread(target=_keep_planting, args=(azure, user), daemon=True).start()
    return {"kubeconfig key": _line_of(pem), "kubeconfig key, encoded": user["client-key-data"]}


def _keep_planting(azure: SandboxProcess, user: Json) -> None:
    """As soon as there is a cluster, answer for it with a kubeconfig that has more in it."""
    other = SandboxProcess(Path(azure.description["ca_file"]).parent)
    deadline = time.monotonic() + _LONGEST_S
    while time.monotonic() < deadline:
        try:
            resources = other.control("GET", "resources")["resources"]
        except requests.ConnectionError:  # the sandbox has ended
            return
        for resource in resources:
            if str(resource["type"]).lower() != "microsoft.containerservice/managedclusters":
                continue
            answer = other.arm(
                "POST", f"{resource['id']}/listClusterUserCredential", api_version="2026-06-01"
            )
            if answer.status_code != 200:
                continue
            body = answer.json()
            config = yaml.safe_load(base64.b64decode(body["kubeconfigs"][0]["value"]))
            config["users"][0]["user"] |= user
            body["kubeconfigs"][0]["value"] = base64.b64encode(yaml.safe_dump(config).encode()).decode()
            planted = {"status": 200, "raw_body": json.dumps(body)}
            other.fault(planted, operation="ManagedClusters_ListClusterUserCredentials", times=99)
            return
        time.sleep(0.05)


class Arguments:
    """The arguments of every process there was while it watched."""

    def __init__(self) -> None:
        self.seen: set[bytes] = set()

    @contextmanager
    def watched(self) -> Iterator[None]:
        ended = threading.Event()

        def look() -> None:
            while not ended.wait(0.1):
                for process in Path("/proc").glob("[0-9]*/cmdline"):
                    try:
                        self.seen.add(process.read_bytes())
                    except OSError:
                        continue

        watching = threading.Thread(target=look)
        watching.start()
        try:
            yield
        finally:
            ended.set()
            watching.join()

    def holding(self, secrets: dict[str, str]) -> list[tuple[str, str]]:
        return [("a process's arguments", name) for one in self.seen for name in names_in(one, secrets)]


def search(folder: Path, secrets: dict[str, str]) -> list[tuple[str, str]]:
    """Where any secret is: file and name of the secret."""
    return [
        (str(path.relative_to(folder)), name)
        for path in _files(folder)
        for name in names_in(path.read_bytes(), secrets)
    ]


def names_in(content: bytes, secrets: dict[str, str]) -> list[str]:
    """Which secrets are in it: as they are, in base64, quoted for a URL or for JSON; and any access token."""
    found = [
        name
        for name, secret in secrets.items()
        if any(
            form in content
            for form in {
                secret.encode(),
                base64.b64encode(secret.encode()),
                quote(secret, safe="").encode(),
                json.dumps(secret)[1:-1].encode(),
            }
        )
    ]
    return found + (["an access token"] if _TOKEN.search(content) else [])


def _files(folder: Path) -> Iterator[Path]:
    """Every file that runs, Prefect and the sandboxes left; but a sandbox's own credentials, which are its to keep.

    And but for what Kubernetes mounts into a Postgres cluster's pods, whose files are below the sandbox's own.
    """
    own = (folder / "sandbox", folder / "demo" / "sandbox")
    for path in sorted(folder.rglob("*")):
        is_its_own = path.parent in own and path.name != "ledger.jsonl"
        is_mounted = _MOUNTED.fullmatch(str(path.relative_to(folder)))
        if path.is_file() and not path.is_symlink() and not is_its_own and not is_mounted:
            yield path


async def _run(way: str, given: Json) -> int:
    """One run, in a process of its own."""
    spec = EnvironmentSpec.model_validate(given)
    if way == LEAK:
        await _leak()
        return 0
    from aks_postgres.flows.provision import provision

    from ..conftest import each_request

    async def crash(method: str, path: str) -> None:
        if method == "PUT" and "/agentPools/" in path:
            os.kill(os.getpid(), signal.SIGKILL)

    if way == "crashes":
        with each_request(after=crash):
            await provision(spec)
    await provision(spec)
    return 0


async def _leak() -> None:
    from prefect import flow
    from prefect.artifacts import acreate_markdown_artifact
    from prefect.logging import get_run_logger

    @flow
    async def leaks() -> None:
        text = f"the secret is {os.environ['AZURE_CLIENT_SECRET']}"
        get_run_logger().info(text)
        await acreate_markdown_artifact(text, key="leak")

    await leaks()


if __name__ == "__main__":
    sys.exit(main())
