"""Helm, through its Go SDK: one release of one cluster. Needs the extra `helm` (package helm-python-sdk).

The SDK can hang past its own time-out and past a cancel, when the API server takes a connection and says nothing. So
it runs in a process of its own, freshly started (never forked: Go's threads don't survive that), that is killed at a
hard deadline. A cancelled run gives it a few seconds to mark its revision as failed; where that doesn't work either,
the revision stays pending, and the next run clears it away (`helm_release.next_action`).

The kubeconfig goes to that process over a pipe and to the SDK as a file in memory (`/proc/self/fd/N` of a memfd): it is
in no file on disk, no argument and no environment variable. See `_helm_process.py`.
"""

from __future__ import annotations

import asyncio
import base64
import importlib.util
import json
import os
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from aks_postgres.arm.error_codes import rule_for
from aks_postgres.arm.errors import AzureRefused, AzureUnavailable, NotEffectiveYet, NotOurs
from aks_postgres.arm.gate import Gate, Write
from aks_postgres.arm.responses import ArmFault, Json, clean
from aks_postgres.errors import ProvisioningError
from aks_postgres.kubernetes.helm_release import UNTIL_LABEL, Chart, Release
from aks_postgres.limits import limits

PACKAGE = "helm_python"
MISSING_EXTRA = "needs Helm's SDK, which isn't installed here"
WITHOUT_EXTRA = "Install it: pip install 'aks-postgres[helm]' (75 MB). Or set operator.installer to manifest."

# Real seconds, as the process is a real one.
WRITE_TIMEOUT_S = 120
# A cancelled call marks its revision as failed with one or two requests.
_LAST_WORDS_S = 5.0
# A release's manifest can be 1 MB and more, but none of it is sent over.
_LONGEST_ANSWER = 4 * 1024 * 1024

# All that the process needs from the environment; credentials of Azure aren't among it.
_PASSED_ON = (
    "PATH",
    "LANG",
    "LC_ALL",
    "TMPDIR",
    "PYTHONPATH",
    "PYTHONHOME",
    "LD_LIBRARY_PATH",
    "HELM_C_LIB",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "HTTPS_PROXY",
    "https_proxy",
    "NO_PROXY",
    "no_proxy",
)


def refusal(label: str, kind: str, message: str) -> ProvisioningError:
    """The error for what the SDK raised, by its exception's name and its words."""
    words = clean(message)
    if "invalid ownership metadata" in message:
        return NotOurs(
            f"{label}: something in the cluster belongs to another installation, and Helm leaves it alone: {words}.",
            way_out="Remove what is named, or set operator.installer to what the other installation has; then run "
            "again.",
        )
    if kind == "HelmCancelledError":
        return NotEffectiveYet(f"{label}: Helm gave up after its time-out: {words}. Run again to go on.")
    said = message.casefold() if kind in _FROM_THE_CLUSTER else ""
    if any(sign in said for sign in _PASSING):
        return AzureUnavailable(
            f"{label}: the Kubernetes API had trouble answering Helm: {words}. Run again to go on."
        )
    if any(sign in said for sign in _SOMEBODY_ELSE):
        return NotEffectiveYet(
            f"{label}: somebody else is changing the release: {words}. Run again to go on."
        )
    if _OWNED_BY_ANOTHER in said:
        return AzureRefused(f"{label}: {words}.", "FieldConflict", way_out=_LET_GO)
    if fault := _fault_in(said, words):
        rule = rule_for(fault)
        if rule.reaction == "again":
            return NotEffectiveYet(f"{label}: {rule.advice}: {words}. Run again to go on.")
        return AzureRefused(f"{label}: {words}.", fault.code, way_out=rule.advice)
    return AzureRefused(f"{label}: Helm refused: {words}.", kind, way_out=_CHART_OR_VALUES)


def _fault_in(said: str, words: str) -> ArmFault | None:
    """The cluster's own fault, or that of the way to it, that Helm tells of; None where it is Helm's."""
    for code, signs in _CAUSES.items():
        if any(sign in said for sign in signs):
            return ArmFault(403 if code == "Forbidden" else None, code, words)
    return None


_CHART_OR_VALUES = (
    "Correct operator.chart or operator.chart_values as these words say (where Kubernetes wants text, put numbers and "
    "true or false in quotes); then run again."
)

_LET_GO = (
    "Set operator.chart_values to the value that is there, or have whoever set it let go of that field; then run "
    "again."
)
# https://kubernetes.io/docs/reference/using-api/server-side-apply/#conflicts
_OWNED_BY_ANOTHER = "apply failed with "

# The SDK's exceptions that can hold the API server's or the network's words; others are about chart and values.
_FROM_THE_CLUSTER = ("HelmKubeError", "HelmReleaseError", "HelmStorageError", "HelmUnknownError")
_SOMEBODY_ELSE = ("another operation", "cannot reuse a name", "release: already exists")
# What has nothing to do with chart or values, by the words of client-go, the API server's admission and net/http.
_CAUSES = {
    "ProxyRefused": ("proxyconnect", "proxy authentication required"),
    "CertificateNotTrusted": ("x509: ",),
    "Unauthorized": (
        "unauthorized",
        "has asked for the client to provide credentials",
        "asked for credentials",
    ),
    "Forbidden": (
        "is forbidden: ",
        "denied the request",
        "violates podsecurity",
        "exceeded quota",
        "is being terminated",
    ),
    "KindUnknown": ("no matches for kind",),
}
# What net/http, client-go and the API server say about what passes by itself.
_PASSING = (
    "connection refused",
    "connection reset",
    "i/o timeout",
    "tls handshake timeout",
    "unexpected eof",
    "context deadline exceeded",
    "client.timeout",
    "failed calling webhook",
    "too many requests",
    "etcdserver",
    "apiserver not ready",
    "currently unable to handle the request",
    "internal error occurred",
)


def is_installed() -> bool:
    """Return whether the extra is there; looks only, as loading the SDK costs 85 MB."""
    return importlib.util.find_spec(PACKAGE) is not None


class Helm:
    """The SDK in its process, for the releases of one namespace."""

    def __init__(
        self, gate: Gate, process: asyncio.subprocess.Process, namespace: str, messages: Path
    ) -> None:
        self.gate = gate
        self.process = process
        self.namespace = namespace
        self._messages = messages
        self._is_reading = False

    def _label(self, name: str) -> str:
        return f"Helm release {self.namespace}/{name}"

    async def begin(self, kubeconfig: bytes) -> None:
        """Hand over the credentials."""
        with suppress(ConnectionError):  # a process that is dead already is told at the first call
            await self._send({"kubeconfig": kubeconfig.decode(), "namespace": self.namespace})

    async def end(self) -> None:
        """End the process; a write that is under way may still say that it failed."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        try:
            if not self._is_reading:
                async with asyncio.timeout(_LAST_WORDS_S):
                    await self.process.wait()
        except TimeoutError:
            pass
        finally:
            if self.process.returncode is None:
                self.process.kill()
                await self.process.wait()

    async def release(self, name: str) -> Release | None:
        """The newest revision of a release, or None."""
        found = await self._read(name, "read")
        return None if found is None else Release(**found | {"objects": tuple(found["objects"])})

    async def history(self, name: str) -> list[Json]:
        """Number and status of the revisions that Helm keeps, oldest first."""
        found: list[Json] = await self._read(name, "history")
        return found

    async def render(self, name: str, chart: Chart) -> list[Json]:
        """The objects that the chart would make, without a cluster; the schema of a CRD is left out."""
        found: list[Json] = await self._read(
            name,
            "render",
            chart=base64.b64encode(chart.archive).decode(),
            values=dict(chart.values),
            namespace=self.namespace,
        )
        return found

    async def install(self, name: str, chart: Chart) -> None:
        """Install a release that doesn't exist."""
        await self._write(name, "install", **self._options(chart))

    async def upgrade(self, name: str, chart: Chart) -> None:
        """Bring a release to the chart and to exactly its values."""
        await self._write(name, "upgrade", **self._options(chart))

    async def rollback(self, name: str, revision: int) -> None:
        """Go back to an earlier revision."""
        await self._write(name, "rollback", version=revision, timeout=WRITE_TIMEOUT_S)

    async def uninstall(self, name: str) -> None:
        """Remove a release; the chart's CRDs and so the databases stay."""
        await self._write(name, "uninstall", timeout=WRITE_TIMEOUT_S)

    @staticmethod
    def _options(chart: Chart) -> Json:
        return {
            "chart": base64.b64encode(chart.archive).decode(),
            "values": dict(chart.values),
            "timeout": WRITE_TIMEOUT_S,
            "description": chart.description,
            "labels": {UNTIL_LABEL: str(int(time.time() + limits.helm_write_s) + 1)},
        }

    async def _write(self, name: str, call: str, **arguments: Any) -> None:
        gate, write = self.gate, Write(f"helm {call}", f"{self.namespace}/{name}")
        await gate.admit(write, str(uuid.uuid4()))
        fence = gate.fence
        assert fence is not None

        def tell() -> None:
            self._write_line({"may_write_for_s": fence.left_s(write)})

        fence.listen(tell)
        try:
            tell()
            await self._call(name, call, limits.helm_write_s, **arguments)
        finally:
            fence.unlisten(tell)
            self._write_line({"may_write_for_s": None})

    async def _read(self, name: str, call: str, **arguments: Any) -> Any:
        self._is_reading = True
        found = await self._call(name, call, limits.helm_read_s, **arguments)
        self._is_reading = False
        return found

    async def _call(self, name: str, call: str, deadline_s: float, **arguments: Any) -> Any:
        label = f"{self._label(name)}, {call}"
        assert self.process.stdout is not None
        try:
            async with asyncio.timeout(deadline_s):
                await self._send({"call": call, "name": name, **arguments})
                line = await self.process.stdout.readline()
        except TimeoutError:
            self.process.kill()
            raise AzureUnavailable(
                f"{label}: no answer within {deadline_s:.0f} s, so the call was ended. The Kubernetes API server "
                "takes connections and says nothing, or the way to it is slow. Run again to go on."
            ) from None
        except ConnectionError:
            line = b""
        if not line:
            raise AzureUnavailable(
                f"{label}: Helm's process ended by itself (exit code {await self.process.wait()}): "
                f"{self._last_words()}"
            )
        answer = json.loads(line)
        if "error" in answer:
            raise refusal(label, answer["error"], answer["message"])
        return answer["result"]

    async def _send(self, line: Json) -> None:
        assert self.process.stdin is not None
        self._write_line(line)
        await self.process.stdin.drain()

    def _write_line(self, line: Json) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(line).encode() + b"\n")

    def _last_words(self) -> str:
        text = self._messages.read_text(errors="replace").strip()
        return clean(text[-500:]) or "it said nothing"


@asynccontextmanager
async def helm(gate: Gate, kubeconfig: bytes, namespace: str) -> AsyncIterator[Helm]:
    """Start Helm's process for one namespace; leaving the block ends it, whatever it is doing.

    Raises:
        AzureRefused: the extra isn't installed.
    """
    if not is_installed():
        raise AzureRefused(
            f"operator.installer: helm {MISSING_EXTRA}.", "HelmNotInstalled", way_out=WITHOUT_EXTRA
        )
    # Its home: client-go keeps the API server's list of types there, which must not be another cluster's.
    with tempfile.TemporaryDirectory(prefix="aks-postgres-helm-", ignore_cleanup_errors=True) as home:
        messages = Path(home, "messages")
        with messages.open("wb") as stderr:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",  # without this folder, whose file names are ordinary words, in front of the import path
                str(Path(__file__).with_name("_helm_process.py")),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=stderr,
                limit=_LONGEST_ANSWER,
                env={name: os.environ[name] for name in _PASSED_ON if name in os.environ} | {"HOME": home},
                start_new_session=True,  # Ctrl-C is for us, who then end it in order
            )
        session = Helm(gate, process, namespace, messages)
        try:
            await session.begin(kubeconfig)
            yield session
        finally:
            await session.end()


async def rendered(name: str, namespace: str, chart: Chart) -> list[Json]:
    """The objects that a chart would make with its values; no cluster is asked.

    Raises:
        AzureRefused: the values aren't what the chart's schema or its templates take, in Helm's words.
        AzureUnavailable: Helm's process died or hung.
    """
    async with helm(Gate("read"), b"", namespace) as session:
        try:
            return await session.render(name, chart)
        except AzureRefused as refused:
            raise AzureRefused(
                f"operator.chart_values: the chart doesn't take them. {refused.text}",
                refused.code,
                way_out="Change them; the chart's values.yaml and values.schema.json say what it takes.",
            ) from None
        except AzureUnavailable as failed:
            raise AzureUnavailable(f"operator.chart: {failed}") from None
