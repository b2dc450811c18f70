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
    if _is_unauthorized(error):
        return CommandFailed(
            "the Prefect server refused this client (401). Set PREFECT_API_AUTH_STRING to its user:password, or "
            "PREFECT_API_KEY for Prefect Cloud, and run again.",
            ExitCode.CREDENTIALS,
        )
    if _is_prefects(error):
        return CommandFailed(
            f"the Prefect server stopped answering ({type(error).__name__}: {error}). "
            "What Azure has begun goes on; run again when the server is back.",
            ExitCode.NOT_RUNNING,
        )
    return None


def _is_unauthorized(error: Exception) -> bool:
    import httpx

    return isinstance(error, httpx.HTTPStatusError) and error.response.status_code == 401


def _is_prefects(error: Exception) -> bool:
    import httpx

    # Azure is reached by aiohttp, Prefect by httpx; a temporary server that doesn't start is a RuntimeError.
    return isinstance(error, httpx.TransportError) or (
        isinstance(error, RuntimeError) and "Prefect API" in str(error)
    )
