"""A client of a running sandbox: what it is, its control API, and the real SDKs pointed at it. For tests.

Needs the extra `pytest`.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import requests
from azure.identity import ClientSecretCredential

# A start takes a second or two; a busy machine may take many times that.
_START_S = 120.0


class SandboxProcess:
    """A running sandbox: its description, its control API, and clients for it.

    Attributes:
        folder: its state folder.
        description: what its sandbox.json says: endpoint, tenant, subscription, client ID and secret, certificates.
        http: a session that trusts the sandbox.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.description: dict[str, Any] = json.loads((folder / "sandbox.json").read_text())
        self.endpoint: str = self.description["endpoint"]
        self.subscription_id: str = self.description["subscription_id"]
        self.tenant_id: str = self.description["tenant_id"]
        self.object_id: str = self.description["object_id"]
        self.ca_file: str = self.description["ca_file"]
        self.http = requests.Session()
        self.http.verify = self.ca_file
        self.http.trust_env = False

    @property
    def subscription(self) -> str:
        """The subscription's ID as ARM writes it: /subscriptions/{GUID}."""
        return f"/subscriptions/{self.subscription_id}"

    def control(self, method: str, name: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Call the control API, below /sandbox/.

        Raises:
            RuntimeError: it refuses; with its words.
        """
        answer = self.http.request(
            method,
            f"{self.endpoint}/sandbox/{name}",
            json=body,
            headers={"x-sandbox-key": self.description["control_key"]},
        )
        if answer.status_code != 200:
            raise RuntimeError(f"{method} /sandbox/{name}: {answer.status_code} {answer.text}")
        result: dict[str, Any] = answer.json()
        return result

    def reset(self, *, seed: int = 1, speed: float = 1000) -> None:
        """Empty it: a subscription in which nothing was ever made.

        Args:
            seed: of IDs, durations and delays.
            speed: Azure's seconds per real second.
        """
        self.control("POST", "reset", {"seed": seed, "speed": speed})

    def settings(self, **values: Any) -> None:
        """Change settings, such as quotas or what is registered, until the next reset."""
        self.control("PUT", "settings", values)

    def step(self, seconds: float) -> None:
        """Let the sandbox's clock jump ahead."""
        self.control("POST", "clock", {"step_s": seconds})

    def fault(self, do: Mapping[str, Any], **which: Any) -> str:
        """Order something to go wrong; returns the order's ID.

        Args:
            do: what happens, as `POST /sandbox/faults` takes it.
            which: which requests it happens to, and how often.
        """
        return str(self.control("POST", "faults", {"do": do, **which})["id"])

    def ledger(self, **wanted: Any) -> list[dict[str, Any]]:
        """The requests that it got, with these values, in their order."""
        entries = self.control("GET", "ledger")["entries"]
        return [entry for entry in entries if all(entry[name] == value for name, value in wanted.items())]

    def credential(self, **principal: str) -> ClientSecretCredential:
        """The owner's credential, or that of a principal with `tenant_id`, `client_id` and `client_secret`."""
        return ClientSecretCredential(
            principal.get("tenant_id", self.tenant_id),
            principal.get("client_id", self.description["client_id"]),
            principal.get("client_secret", self.description["client_secret"]),
            authority=self.endpoint,
            disable_instance_discovery=True,
            connection_verify=self.ca_file,
        )

    def token(self, scope: str | None = None, **principal: str) -> str:
        """A token for ARM, or for another scope."""
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
            connection_verify=self.ca_file,
            **options,
        )


def start(folder: Path, *options: str) -> subprocess.Popen[bytes]:
    """Start a sandbox and wait until it has described itself in the folder; whoever starts it ends it.

    Raises:
        RuntimeError: it ended, or isn't ready within two minutes; with its words.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    log = folder.parent / f"{folder.name}.log"
    with log.open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "azure_sandbox", "--state", str(folder), *options], stderr=stderr
        )
    deadline = time.monotonic() + _START_S
    while not (folder / "sandbox.json").exists():
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            raise RuntimeError(log.read_text())
        time.sleep(0.02)
    return process
