"""The secrets that this process was given: in variables, and in the files that they name."""

from __future__ import annotations

import os
from contextlib import suppress
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
    for name in _PROXIES:
        for variable in (name, name.lower()):
            before, _, _ = (os.environ.get(variable) or "").rpartition("@")
            _keep_password(before.rpartition("//")[2])
    for name in _FILES:
        if path := os.environ.get(name):
            with suppress(FileRefused):  # told where it is needed
                keep_secret(read_given(path, limits.credential_bytes))


def _keep_password(user_and_password: str) -> None:
    """Keep the password of `user:password`, as written and as sent, and both together, as a header has them."""
    user, _, password = user_and_password.partition(":")
    if not password:
        return
    for form in (password, unquote(password), f"{user}:{password}", unquote(f"{user}:{password}")):
        keep_secret(form)
