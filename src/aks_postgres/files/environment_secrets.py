"""The secrets that this process was given: in variables, and in the files that they name."""

from __future__ import annotations

import os
import tomllib
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote

from aks_postgres.files.given_files import FileRefused, read_given
from aks_postgres.foreign_text import keep_secret
from aks_postgres.limits import limits

_VALUES = (
    "AZURE_CLIENT_SECRET",
    "AZURE_CLIENT_CERTIFICATE_PASSWORD",
    "AZURE_PASSWORD",
    "PREFECT_API_KEY",
    "PREFECT_API_AUTH_STRING",
)
_FILES = ("AZURE_FEDERATED_TOKEN_FILE", "AZURE_CLIENT_CERTIFICATE_PATH")
_PROXIES = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY")


def keep_secrets_of_environment() -> None:
    """What this process signs in with stays out of every text: on Azure, on Prefect's server and on a proxy."""
    for name in _VALUES:
        keep_secret(os.environ.get(name))
    _keep_password(os.environ.get("PREFECT_API_AUTH_STRING") or "")
    _keep_those_of_profiles()
    for name in _PROXIES:
        for variable in (name, name.lower()):
            before, _, _ = (os.environ.get(variable) or "").rpartition("@")
            _keep_password(before.rpartition("//")[2])
    for name in _FILES:
        if path := os.environ.get(name):
            with suppress(FileRefused):  # told where it is needed
                keep_secret(read_given(path, limits.credential_bytes))


def _keep_those_of_profiles() -> None:
    """What signs in on a Prefect server, of every profile, as `prefect cloud login` writes them.

    https://docs.prefect.io/v3/concepts/settings-and-profiles
    """
    home = Path(os.environ.get("PREFECT_HOME") or "~/.prefect")
    path = Path(os.environ.get("PREFECT_PROFILES_PATH") or home / "profiles.toml").expanduser()
    if not path.is_file():
        return
    # Prefect itself tells of a file that can't be read.
    with suppress(FileRefused, ValueError, AttributeError):
        found = tomllib.loads(read_given(str(path), limits.credential_bytes).decode())
        for profile in (found.get("profiles") or {}).values():
            keep_secret(str(profile.get("PREFECT_API_KEY") or ""))
            keep_secret(str(profile.get("PREFECT_API_AUTH_STRING") or ""))
            _keep_password(str(profile.get("PREFECT_API_AUTH_STRING") or ""))


def _keep_password(user_and_password: str) -> None:
    """Keep the password of `user:password`, as written and as sent, and both together, as a header has them."""
    user, _, password = user_and_password.partition(":")
    if not password:
        return
    for form in (password, unquote(password), f"{user}:{password}", unquote(f"{user}:{password}")):
        keep_secret(form)
