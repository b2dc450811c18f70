"""The Prefect server's password: drawn at random, and asked for before the server starts.

Whoever reaches the server's API can have the workers' rights on Azure (docs/threat-model.md), so none starts open.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from aks_postgres.exit_codes import CommandFailed, ExitCode

AUTH_STRING = "PREFECT_SERVER_API_AUTH_STRING"
_USER = "admin"
# 24 characters of `token_urlsafe` are 18 random bytes; what a person types should not be much less.
_SHORTEST = 12


def write_passwords(file: Path) -> None:
    """Write the file that Compose reads beside compose.yaml, for its owner only.

    Raises:
        CommandFailed: the file is there: other passwords than the database has would lock the server out of it.
    """
    lines = (
        "# Passwords of the Prefect server and its database, drawn by aks-postgres deployments passwords.",
        f"POSTGRES_PASSWORD={secrets.token_urlsafe(24)}",
        f"{AUTH_STRING}={_USER}:{secrets.token_urlsafe(24)}",
        "# Where people open the UI, if not at http://localhost:4200:",
        "# PREFECT_UI_URL=",
        "# PREFECT_UI_API_URL=",
    )
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise CommandFailed(
            f"{file} is there and stays: the database has its password. Delete it, and the volume of the database, for "
            "new ones",
            ExitCode.BAD_INPUT,
        ) from None
    except OSError as error:
        raise CommandFailed(f"{file} can't be written: {error.strerror}", ExitCode.BAD_INPUT) from None
    with open(descriptor, "w", encoding="utf-8") as written:
        written.write("\n".join(lines) + "\n")


def require_password(environment: Mapping[str, str]) -> None:
    """Refuse to go on without a user and a password for the server.

    Args:
        environment: variables of the process that will be the server.

    Raises:
        CommandFailed: none, empty, or too short to be one; what was given isn't repeated.
    """
    given = environment.get(AUTH_STRING, "")
    user, colon, password = given.partition(":")
    if not given.strip():
        problem = "it is missing or empty"
    elif not colon or not user.strip():
        problem = "it has no user before a colon"
    elif len(password) < _SHORTEST or not password.isprintable() or len(set(password)) < 4:
        problem = f"its password is empty, shorter than {_SHORTEST} characters, or one that is easily guessed"
    elif any(character.isspace() for character in given):
        problem = "it has white space"
    else:
        return
    raise CommandFailed(
        f"{AUTH_STRING}: {problem}; user:password is expected. Whoever reaches this server can have the workers' "
        "rights on Azure, so it doesn't start without. `aks-postgres deployments passwords` writes one for Compose",
        ExitCode.BAD_INPUT,
    )
