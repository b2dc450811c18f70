"""One sandbox process for the session, emptied for each test, and clients of the real SDKs for it."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from azure.identity import ClientSecretCredential

REPOSITORY = Path(__file__).parents[2]


class SandboxProcess:
    """A running sandbox, its description and its control API."""

    def __init__(self, folder: Path) -> None:
        self.description: dict[str, Any] = json.loads((folder / "sandbox.json").read_text())
        self.endpoint: str = self.description["endpoint"]
        self.subscription_id: str = self.description["subscription_id"]
        self.tenant_id: str = self.description["tenant_id"]
        self.object_id: str = self.description["object_id"]
        self.ca_file: str = self.description["ca_file"]
        self.http = requests.Session()
        self.http.verify = self.description["ca_bundle"]
        self.http.trust_env = False

    @property
    def subscription(self) -> str:
        return f"/subscriptions/{self.subscription_id}"

    def control(self, method: str, name: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        answer = self.http.request(
            method,
            f"{self.endpoint}/sandbox/{name}",
            json=body,
            headers={"x-sandbox-key": self.description["control_key"]},
        )
        assert answer.status_code == 200, answer.text
        result: dict[str, Any] = answer.json()
        return result

    def settings(self, **values: Any) -> None:
        self.control("PUT", "settings", values)

    def step(self, seconds: float) -> None:
        self.control("POST", "clock", {"step_s": seconds})

    def fault(self, do: dict[str, Any], **which: Any) -> str:
        return str(self.control("POST", "faults", {"do": do, **which})["id"])

    def ledger(self, **wanted: Any) -> list[dict[str, Any]]:
        entries = self.control("GET", "ledger")["entries"]
        return [entry for entry in entries if all(entry[name] == value for name, value in wanted.items())]

    def credential(self, **principal: str) -> ClientSecretCredential:
        return ClientSecretCredential(
            principal.get("tenant_id", self.tenant_id),
            principal.get("client_id", self.description["client_id"]),
            principal.get("client_secret", self.description["client_secret"]),
            authority=self.endpoint,
            disable_instance_discovery=True,
            connection_verify=self.description["ca_bundle"],
        )

    def token(self, scope: str | None = None, **principal: str) -> str:
        return self.credential(**principal).get_token(scope or f"{self.endpoint}/.default").token

    def arm(self, method: str, path: str, body: Any = None, **options: Any) -> requests.Response:
        """A raw request to ARM; `api_version`, `headers`, `token` and `raw` are options."""
        headers = {"Authorization": f"Bearer {options.get('token') or self._own_token()}"}
        return self.http.request(
            method,
            self.endpoint + path,
            params={"api-version": options["api_version"]} if options.get("api_version") else None,
            json=body,
            data=options.get("raw"),
            headers=headers | options.get("headers", {}),
            allow_redirects=False,
        )

    def _own_token(self) -> str:
        if not hasattr(self, "_token"):
            self._token = self.token()
        return self._token

    def client(self, kind: Any, credential: Any = None, **options: Any) -> Any:
        """A client of an azure-mgmt package."""
        return kind(
            credential or self.credential(),
            self.subscription_id,
            base_url=self.endpoint,
            credential_scopes=[f"{self.endpoint}/.default"],
            connection_verify=self.description["ca_bundle"],
            **options,
        )


def start(folder: Path, *options: str) -> subprocess.Popen[bytes]:
    """Start a sandbox and wait until it has described itself."""
    log = folder.parent / f"{folder.name}.log"
    with log.open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "sandbox", "--state", str(folder), *options], cwd=REPOSITORY, stderr=stderr
        )
    deadline = time.monotonic() + 120
    while not (folder / "sandbox.json").exists():
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            raise RuntimeError(log.read_text())
        time.sleep(0.02)
    return process


@pytest.fixture(scope="session")
def sandbox_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProcess]:
    """The session's sandbox: a thousand times faster than Azure."""
    folder = tmp_path_factory.mktemp("sandbox") / "state"
    process = start(folder, "--speed", "1000")
    try:
        yield SandboxProcess(folder)
    finally:
        process.terminate()
        process.wait(timeout=60)


@pytest.fixture
def sandbox(sandbox_process: SandboxProcess) -> SandboxProcess:
    """The session's sandbox, empty, with every provider registered."""
    sandbox_process.control("POST", "reset", {"seed": 1, "speed": 1000})
    sandbox_process.settings(registered={"Microsoft.Dashboard": True, "Microsoft.Monitor": True})
    return sandbox_process


@pytest.fixture
def group(sandbox: SandboxProcess) -> str:
    """The id of a resource group in Canada Central."""
    path = f"{sandbox.subscription}/resourceGroups/rg-test"
    answer = sandbox.arm("PUT", path, {"location": "canadacentral"}, api_version="2024-11-01")
    assert answer.status_code == 201, answer.text
    return path


def body_with(path: str, value: Any) -> dict[str, Any]:
    """A body that has one value, at a dotted path."""
    body: dict[str, Any] = {}
    inner = body
    *above, name = path.split(".")
    for step in above:
        inner = inner.setdefault(step, {})
    inner[name] = value
    return body
