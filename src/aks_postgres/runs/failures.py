"""How a run's failure ends a command."""

from __future__ import annotations

from aks_postgres.exit_codes import CommandFailed, ExitCode


def failure_of(error: Exception) -> CommandFailed | None:
    """An error that is meant for people, with its exit code; None for a bug, which deserves its traceback."""
    # Imported here: --help needs none of them.
    from aks_postgres.arm.errors import CredentialsRefused, WouldWrite, WrongSetting
    from aks_postgres.errors import ProvisioningError
    from aks_postgres.files.given_files import disk_problem
    from aks_postgres.preflight.errors import UnknownRegion
    from aks_postgres.spec.problems import SpecError

    if isinstance(error, CommandFailed):
        return error
    if isinstance(error, OSError) and (problem := disk_problem(error)):
        return CommandFailed(str(problem))
    if isinstance(error, SpecError | UnknownRegion):
        return CommandFailed(str(error), ExitCode.BAD_INPUT)
    if isinstance(error, CredentialsRefused):
        return CommandFailed(str(error), ExitCode.CREDENTIALS)
    if isinstance(error, WrongSetting):
        return CommandFailed(str(error), ExitCode.BAD_INPUT)
    if isinstance(error, WouldWrite):
        return CommandFailed(
            f"the environment isn't finished, or differs from this spec: {error}. "
            "Run `aks-postgres provision`, or give the spec that it was provisioned with."
        )
    if isinstance(error, ProvisioningError):
        return CommandFailed(str(error))
    return _of_prefect(error)


def _of_prefect(error: Exception) -> CommandFailed | None:
    """Return what a failed request to the Prefect server says of its cause; None for what is no such thing, or a bug.

    Azure is reached by aiohttp, Prefect by httpx; a temporary server that doesn't start is a RuntimeError.
    """
    import httpx

    if isinstance(error, httpx.HTTPStatusError):
        return _answered(error.response.status_code, error.response.headers.get("content-type", ""))
    if isinstance(error, httpx.ProxyError):
        return CommandFailed(
            f"the proxy refused the way to the Prefect server ({error}). Name the server's host in NO_PROXY, or give "
            "HTTPS_PROXY (HTTP_PROXY) the name and password that the proxy wants; then run again.",
            ExitCode.NOT_RUNNING,
        )
    if isinstance(error, httpx.ConnectError) and "CERTIFICATE_VERIFY_FAILED" in str(error):
        return CommandFailed(
            f"the Prefect server's certificate isn't trusted here ({error}). Set PREFECT_API_SSL_CERT_FILE to the file "
            "of the authority that it is from; then run again.",
            ExitCode.NOT_RUNNING,
        )
    if isinstance(error, httpx.TransportError) or (
        isinstance(error, RuntimeError) and "Prefect API" in str(error)
    ):
        return CommandFailed(
            f"the Prefect server stopped answering ({type(error).__name__}: {error}). "
            "What Azure has begun goes on; run again when the server is back.",
            ExitCode.NOT_RUNNING,
        )
    return None


def _answered(status: int, content_type: str) -> CommandFailed | None:
    if status == 401:
        return CommandFailed(
            "the Prefect server refused this client (401). Set PREFECT_API_AUTH_STRING to its user:password, or "
            "PREFECT_API_KEY for Prefect Cloud, and run again.",
            ExitCode.CREDENTIALS,
        )
    if status < 500 and "json" not in content_type:
        return CommandFailed(
            f"what answered in the Prefect server's place ({status}) is no Prefect API. Set PREFECT_API_URL to the "
            "server's address with /api at its end, or have the proxy before it let this through; then run again.",
            ExitCode.NOT_RUNNING,
        )
    if status == 403:
        return CommandFailed(
            "the Prefect server knows this client and doesn't let it do that (403). Have its account given a role "
            "that may write flow runs and deployments in this workspace, or set PREFECT_API_KEY to another's; then "
            "run again.",
            ExitCode.CREDENTIALS,
        )
    if status >= 500:
        return CommandFailed(
            f"the Prefect server has trouble of its own ({status}); its log says what, often that its database is "
            "full, locked or away. What Azure has begun goes on; run again when it is well.",
            ExitCode.NOT_RUNNING,
        )
    return None
