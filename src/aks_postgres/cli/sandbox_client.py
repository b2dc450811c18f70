"""The sandbox as the terminal sees it: state folder, control API, and what its clients need."""

from __future__ import annotations

import importlib.util
import json
import os
import shlex
import socket
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from aks_postgres.cli.processes import is_running
from aks_postgres.commands import SANDBOX_STATE
from aks_postgres.exit_codes import CommandFailed, ExitCode

# The sandbox answers within milliseconds on loopback; a reset closes the clusters' ports first.
_ANSWER_S = 10
# What the command line of a sandbox holds.
MARKS = ("sandbox", "--state")
# Which psql `aks-postgres psql` runs.
PSQL_VARIABLE = "AKS_POSTGRES_PSQL"


def default_state() -> Path:
    """Return where the sandbox keeps its state unless told otherwise: $XDG_STATE_HOME/aks-postgres/sandbox."""
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base) / "aks-postgres" / "sandbox"


@dataclass(frozen=True)
class RunningSandbox:
    """A running sandbox, as its sandbox.json describes it."""

    pid: int
    endpoint: str
    ca_file: str
    ca_bundle: str
    tenant_id: str
    subscription_id: str
    subscription_name: str
    client_id: str
    client_secret: str
    object_id: str
    control_key: str
    speed: float
    egress_url: str
    operator_manifest_url: str
    operator_manifest_sha256: str
    kubernetes: str
    proxy_url: str
    state: Path
    cert_manager_manifest_url: str = ""
    cert_manager_manifest_sha256: str = ""
    plugin_manifest_url: str = ""
    plugin_manifest_sha256: str = ""
    postgres: Sequence[str] = ()
    psql: str = ""

    def __repr__(self) -> str:
        """Without the secrets."""
        return f"RunningSandbox({self.endpoint}, pid {self.pid})"

    def variables(self) -> dict[str, str]:
        """Environment variables that point this product at the sandbox."""
        proxied = any(
            os.environ.get(name) for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")
        )
        return {
            **self._credentials(),
            "AZURE_AUTHORITY_HOST": self.endpoint,
            "AKS_POSTGRES_ARM_ENDPOINT": self.endpoint,
            "AKS_POSTGRES_TIME_SCALE": f"{self.speed:g}",
            "AKS_POSTGRES_EGRESS_URL": self.egress_url,
            SANDBOX_STATE: str(self.state),
            **({PSQL_VARIABLE: self.psql} if self.psql and not os.environ.get(PSQL_VARIABLE) else {}),
            **(_no_proxy() if proxied else {}),
        }

    def client_variables(self) -> dict[str, str]:
        """Return what az and kubectl need besides: a configuration of their own, away from the person's."""
        return {
            "AZURE_CONFIG_DIR": str(self.state / "az"),
            # msal would ask the public cloud whether it knows this authority.
            "AZURE_CORE_INSTANCE_DISCOVERY": "false",
            "KUBECONFIG": str(self.state / "kubeconfig"),
        }

    def public_cloud_variables(self) -> dict[str, str]:
        """What puts the sandbox in the public cloud's place, for clients that know Azure's own host names only."""
        return {
            **self._credentials(),
            "HTTPS_PROXY": self.proxy_url,
            **_no_proxy(),
            "AZURE_CONFIG_DIR": str(self.state / "az-public-cloud"),
            "KUBECONFIG": str(self.state / "kubeconfig"),
        }

    def _credentials(self) -> dict[str, str]:
        return {
            "AZURE_TENANT_ID": self.tenant_id,
            "AZURE_CLIENT_ID": self.client_id,
            "AZURE_CLIENT_SECRET": self.client_secret,
            "AZURE_SUBSCRIPTION_ID": self.subscription_id,
            "SSL_CERT_FILE": self.ca_bundle,
            "REQUESTS_CA_BUNDLE": self.ca_bundle,
        }

    def at_its_speed(self) -> RunningSandbox:
        """The same sandbox at the speed that its clock has now; it may have been changed since the start."""
        return replace(self, speed=float(self.call("GET", "clock")["speed"]))

    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None, **query: object) -> Any:
        """Call the control API.

        Args:
            method: HTTP method.
            path: path below /sandbox/.
            body: JSON body.
            query: query parameters; None is left out.

        Raises:
            CommandFailed: nobody answers, or the sandbox refuses; with its words.
        """
        given = urlencode({key: value for key, value in query.items() if value is not None})
        request = urllib.request.Request(
            f"{self.endpoint}/sandbox/{path}" + (f"?{given}" if given else ""),
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"x-sandbox-key": self.control_key, "content-type": "application/json"},
        )
        # Loopback: no proxy, whatever the environment says.
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}),
            urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=self.ca_file)),
        )
        try:
            with opener.open(request, timeout=_ANSWER_S) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise CommandFailed(f"the sandbox refused: {_words(error)}", ExitCode.BAD_INPUT) from None
        except (OSError, ValueError) as error:
            raise CommandFailed(
                f"the sandbox at {self.endpoint} (process {self.pid}) doesn't answer: {error}. "
                f"See {self.state / 'sandbox.log'}, or stop it with `aks-postgres sandbox stop --state "
                f"{shlex.quote(str(self.state))}`.",
                ExitCode.NOT_RUNNING,
            ) from None


def _no_proxy() -> dict[str, str]:
    """Loopback is reached directly, besides what the environment says already."""
    have = os.environ.get("NO_PROXY") or os.environ.get("no_proxy") or ""
    return {"NO_PROXY": ",".join(filter(None, [have, "localhost", "127.0.0.1"]))}


def _words(error: urllib.error.HTTPError) -> str:
    try:
        return str(json.load(error)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return f"{error.code} {error.reason}"


def find_sandbox(state: Path) -> RunningSandbox | None:
    """The sandbox that runs with this state folder, if one does."""
    try:
        described = json.loads((state / "sandbox.json").read_text())
        known = {field.name for field in fields(RunningSandbox)} - {"state"}
        # What an earlier version doesn't say has a default.
        said = {name: described[name] for name in known - {"postgres", "psql"} | (known & set(described))}
        found = RunningSandbox(**said, state=state.absolute())
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CommandFailed(
            f"{state / 'sandbox.json'} can't be used ({type(error).__name__}: {error}); "
            "stop the sandbox and start it again",
            ExitCode.NOT_RUNNING,
        ) from None
    return found if is_running(found.pid, *MARKS) else None


def require_package() -> None:
    """See that the sandbox is installed: a distribution of its own, which a plain install doesn't bring.

    Raises:
        CommandFailed: it isn't; says how to install it.
    """
    if importlib.util.find_spec("azure_sandbox") is None:
        raise CommandFailed(
            "the sandbox isn't installed. From a clone of the repository: pip install ./packages/azure-sandbox "
            "(by its path: its name on a package index isn't ours)",
            ExitCode.NOT_RUNNING,
        )


def running_sandbox(state: Path) -> RunningSandbox:
    """The sandbox that runs with this state folder.

    Raises:
        CommandFailed: none does; says how to start one, or how to install it first.
    """
    found = find_sandbox(state)
    if found is None:
        require_package()
        where = "" if state == default_state() else f" --state {shlex.quote(str(state))}"
        raise CommandFailed(
            f"no sandbox is running (state folder {state}); start one with "
            f"`aks-postgres sandbox start{where}`",
            ExitCode.NOT_RUNNING,
        )
    return found


def use_sandbox(state: Path) -> RunningSandbox:
    """Point this process at the sandbox; call it before anything of Azure's is imported.

    Raises:
        CommandFailed: no sandbox runs, or it doesn't answer.
    """
    sandbox = running_sandbox(state).at_its_speed()
    os.environ.update(sandbox.variables())
    return sandbox


def require_local_endpoint() -> None:
    """Where the environment points at a sandbox (`sandbox env` was used), make sure that it is still there.

    Raises:
        CommandFailed: nobody listens; found out at once, not after all the patience that Azure deserves.
    """
    endpoint = urlsplit(os.environ.get("AKS_POSTGRES_ARM_ENDPOINT") or "")
    if endpoint.hostname not in ("localhost", "127.0.0.1"):
        return
    try:
        socket.create_connection((endpoint.hostname, endpoint.port or 443), timeout=_ANSWER_S).close()
    except OSError as error:
        raise CommandFailed(
            f"the sandbox that AKS_POSTGRES_ARM_ENDPOINT names ({endpoint.geturl()}) isn't running: "
            f"{error.strerror or error}. Start one and take over what `aks-postgres sandbox env` prints.",
            ExitCode.NOT_RUNNING,
        ) from None
