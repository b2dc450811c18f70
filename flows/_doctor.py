"""What would stop a run from here, looked at by reading only; judged by the preflight, which every run begins with."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from aks_postgres.arm.client import Azure
from aks_postgres.arm.clock import time_scale
from aks_postgres.arm.credentials import caller
from aks_postgres.arm.errors import AzureRefused, CredentialsRefused, WrongSetting
from aks_postgres.arm.retry import read_path
from aks_postgres.arm.way_to_azure import proxy_for
from aks_postgres.errors import PermanentError, ProvisioningError
from aks_postgres.exit_codes import CommandFailed, ExitCode
from aks_postgres.preflight.errors import PreflightFailed
from aks_postgres.preflight.findings import FINE, Findings
from aks_postgres.preflight.kubernetes_versions import support_of
from aks_postgres.reports.diagnosis import Check, Diagnosis
from aks_postgres.runs.failures import failure_of
from aks_postgres.runs.one_writer import lock_of
from aks_postgres.runs.prefect_server import require_prefect_server
from aks_postgres.runs.session import run_session
from aks_postgres.spec.environment import EnvironmentSpec
from aks_postgres.spec.names import environment_key
from aks_postgres.tasks.preflight import Looked, look

_CHECKS = (
    "credential",
    "clock",
    "proxy",
    "TLS",
    "Prefect server",
    "lock",
    "subscription",
    "rights",
    "providers",
    "region",
    "quota",
    "versions",
    "network",
    "names",
    "cluster",
    "operator",
    "policies",
    "Azure",
)
# Entra's tokens hold from five minutes before they are made, for machines whose clock is behind.
_SKEW_S = 300
_NOTICED_S = 30
_SUBSCRIPTIONS = "2022-12-01"


async def diagnose(spec: EnvironmentSpec) -> Diagnosis:
    """Look at everything that a run from this machine needs; a fault in one thing hides no other that can be asked.

    Raises:
        SpecError: neither the spec nor the worker names a subscription.
    """
    checks = [_prefect_server()]
    try:
        async with run_session(spec, read_only=True, command="doctor") as run:
            checks += await _in_azure(run.azure, spec)
    except ProvisioningError as error:
        checks.append(_failed(_about(error), error))
    known = {check.name for check in checks}
    silent = [Check(name=name, verdict="not asked", found="") for name in _CHECKS[:-1] if name not in known]
    return Diagnosis(
        environment=environment_key(spec),
        checks=tuple(sorted([*checks, *silent], key=lambda check: _CHECKS.index(check.name))),
    )


async def _in_azure(azure: Azure, spec: EnvironmentSpec) -> list[Check]:
    """Everything that takes a connection; having one says that proxy and certificate are good."""
    proxy = proxy_for(azure.endpoint)
    found = [
        Check(name="proxy", verdict="fine", found=f"through {proxy}" if proxy else "none"),
        Check(name="TLS", verdict="fine", found=f"the certificate of {azure.endpoint} is trusted"),
    ]
    found += await _asked("credential", lambda: _credential(azure))
    found += await _asked("clock", lambda: _clock(azure))
    found += await _asked("lock", lambda: _lock(azure, spec))
    found += await _asked("subscription", lambda: _preflight(azure, spec))
    return found


async def _asked(name: str, ask: Callable[[], Awaitable[list[Check]]]) -> list[Check]:
    try:
        return await ask()
    except PreflightFailed as failed:
        return [
            _stop(name, problem.text, problem.way_out, ExitCode.CREDENTIALS) for problem in failed.problems
        ]
    except ProvisioningError as error:
        if name == "lock" and isinstance(error, AzureRefused):  # told by what the caller may see at all
            return [Check(name=name, verdict="not asked", found=str(error))]
        return [_failed(_about(error) if name == "subscription" else name, error)]


async def _credential(azure: Azure) -> list[Check]:
    object_id, tenant_id, kind = await caller(azure.credential, azure.facts.audience)
    who = f"{azure.credential.source}: {kind} {object_id} of tenant {tenant_id}"
    return [Check(name="credential", verdict="fine", found=who)]


async def _clock(azure: Azure) -> list[Check]:
    answer = await read_path("Azure's clock", lambda: azure.get("/subscriptions", _SUBSCRIPTIONS))
    if time_scale() != 1:
        text = f"not compared: the sandbox's runs {time_scale():g} times as fast"
        return [Check(name="clock", verdict="fine", found=text)]
    try:
        theirs = parsedate_to_datetime(answer.headers.get("date", ""))
    except ValueError:
        return [Check(name="clock", verdict="not asked", found="Azure's answer has no Date that can be read")]
    ahead_s = (datetime.now(UTC) - theirs).total_seconds()
    text = f"{abs(ahead_s):.0f} s {'ahead of' if ahead_s > 0 else 'behind'} Azure's"
    way_out = "Have this machine's clock set over the network (timedatectl set-ntp true), then run again."
    if abs(ahead_s) > _SKEW_S:
        return [_stop("clock", f"{text}, and tokens are taken for at most {_SKEW_S} s", way_out)]
    if abs(ahead_s) > _NOTICED_S:
        return [Check(name="clock", verdict="look", found=text, next_step=way_out)]
    return [Check(name="clock", verdict="fine", found=text)]


async def _lock(azure: Azure, spec: EnvironmentSpec) -> list[Check]:
    holder = await lock_of(azure, spec, "doctor").holder()
    if holder is None:
        return [Check(name="lock", verdict="fine", found="nobody writes to the environment")]
    way_out = "A run waits for its end; --if-another-run refuse doesn't."
    return [Check(name="lock", verdict="look", found=f"{holder} is writing", next_step=way_out)]


async def _preflight(azure: Azure, spec: EnvironmentSpec) -> list[Check]:
    looked = await look(azure, spec)
    by_area: dict[str, Findings] = {}
    for area, findings in looked.findings:
        by_area[area] = by_area.get(area, FINE) + findings
    code = ExitCode.FAILED if looked.target else ExitCode.BAD_INPUT
    found: list[Check] = []
    for name, findings in by_area.items():
        found += [_stop(name, problem.text, problem.way_out, code) for problem in findings.problems]
        found += [Check(name=name, verdict="look", found=text) for text in findings.warnings]
        if findings == FINE and name != "Azure":
            found.append(Check(name=name, verdict="fine", found=_good(name, spec, looked)))
    if looked.target:
        found += _known_of(spec, looked, by_area)
    return found


def _known_of(spec: EnvironmentSpec, looked: Looked, by_area: dict[str, Findings]) -> list[Check]:
    """Return what only the target says: providers, and when versions end."""
    assert looked.target is not None
    missing = looked.target.missing_providers
    if missing:
        names = " and ".join(missing)
        providers = Check(
            name="providers",
            verdict="look",
            found=f"{names} not registered",
            next_step="Nothing: provision registers them, which takes minutes.",
        )
    else:
        providers = Check(name="providers", verdict="fine", found="all registered")
    if by_area.get("versions", FINE) == FINE:
        return [providers]
    versions = Check(name="versions", verdict="fine", found=_good("versions", spec, looked))
    return [providers, versions]


def _good(name: str, spec: EnvironmentSpec, looked: Looked) -> str:
    """Return what is so where nothing is wrong."""
    target = looked.target
    if target is None:
        return "nothing is wrong with it"
    texts = {
        "subscription": f"{target.subscription_name} ({target.subscription_id}) takes writes",
        "rights": "every action that a run needs",
        "region": f"{spec.region} has what the environment is made of",
        "quota": "enough vCPUs and addresses",
        "versions": support_of(spec, target.kubernetes_version),
        "network": f"API server for {', '.join(target.authorized_ip_ranges) or 'everybody'}",
        "names": f"generation {target.generation}, resource group {target.names.resource_group}",
        "cluster": "nothing is stopped or half gone",
        "policies": "none denies what a run would create",
        "operator": f"CloudNativePG {spec.operator.version} can be installed",
    }
    return texts[name]


def _prefect_server() -> Check:
    name = "Prefect server"
    try:
        url = require_prefect_server()
    except CommandFailed as failed:
        text, _, way_out = str(failed).partition(". ")
        return _stop(name, f"{text}.", way_out, failed.code)
    return Check(name=name, verdict="fine", found=url or "none is set: a run from here uses a temporary one")


def _about(error: ProvisioningError) -> str:
    """The check that a failed connection is about."""
    if isinstance(error, CredentialsRefused):
        return "credential"
    if isinstance(error, WrongSetting) or getattr(error, "code", "") == "ProxyRefused":
        return "proxy"
    return "TLS" if getattr(error, "code", "") == "CertificateNotTrusted" else "Azure"


def _failed(name: str, error: ProvisioningError) -> Check:
    failure = failure_of(error)
    way_out = error.way_out if isinstance(error, PermanentError) else "Run again in some minutes."
    text = str(error).removesuffix(way_out).strip()
    return _stop(name, text, way_out, failure.code if failure else ExitCode.FAILED)


def _stop(name: str, text: str, way_out: str, code: int = ExitCode.FAILED) -> Check:
    return Check(name=name, verdict="stops a run", found=text, next_step=way_out, exit_code=code)
