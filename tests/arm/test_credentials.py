"""Who we are for Azure: every way to have no usable credential ends in one message, soon."""

import json
import os
import re
import socket
from pathlib import Path
from typing import Any

import jwt
import pytest

from aks_postgres.arm.client import current_azure, open_azure
from aks_postgres.arm.credentials import arm_endpoint, caller
from aks_postgres.arm.errors import AzureUnavailable, CredentialsRefused, WrongSetting
from aks_postgres.arm.way_to_azure import refuse_unusable_proxy
from aks_postgres.limits import limits
from azure_sandbox.client import SandboxProcess

from ..files.test_given_files import NO_FILES

GUID = "6b1f0f60-4a4a-4c11-9d0e-0a1b2c3d4e5f"
SECRET = "Q8~a-secret-that-must-not-be-shown"


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An environment that offers no credential at all; returns the only folder that commands are looked for in."""
    for name in [*os.environ]:
        if name.startswith(("AZURE_", "IDENTITY_", "MSI_", "AKS_POSTGRES_ARM")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def command(folder: Path, script: str) -> None:
    (folder / "az").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "az").chmod(0o755)


HINT = "Set AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET"


async def refusal(way_out: str = HINT) -> str:
    """What opening the connection is refused with."""
    with pytest.raises(CredentialsRefused) as caught:
        async with open_azure(GUID):
            pass
    message = str(caught.value)
    assert "source tried: " in message
    assert way_out in message
    assert "\n" not in message
    return message


def set_service_principal(monkeypatch: pytest.MonkeyPatch, **others: str) -> None:
    for name, value in {
        "AZURE_TENANT_ID": GUID,
        "AZURE_CLIENT_ID": GUID,
        "AZURE_CLIENT_SECRET": SECRET,
        **others,
    }.items():
        monkeypatch.setenv(name, value)


async def test_a_machine_without_any_credential_is_told_what_to_set(nobody: Path) -> None:
    assert "managed identity of this machine (IMDS)" in await refusal()


async def test_an_az_that_isnt_signed_in_is_named(nobody: Path) -> None:
    command(nobody, "echo \"ERROR: Please run 'az login' to setup account.\" >&2; exit 1")
    assert "source tried: the signed-in Azure CLI (az login)" in await refusal()


async def test_a_wrong_secret_is_refused_in_entras_words_without_showing_it(
    azure: SandboxProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_CLIENT_SECRET", SECRET)
    message = await refusal("Set AZURE_CLIENT_SECRET to the value (not the ID)")
    assert message.startswith(
        "Microsoft Entra ID refused the credential; source tried: service principal (AZURE_"
    )
    assert "AADSTS7000215" in message
    assert re.search(r"It said: .*[^.][.] Set AZURE_CLIENT_SECRET", message)  # two sentences
    assert SECRET not in message


async def test_an_unknown_client_is_refused_in_entras_words(
    azure: SandboxProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_CLIENT_ID", GUID)
    assert "AADSTS700016" in await refusal("Set AZURE_CLIENT_ID to the application's (client) ID")


async def test_an_authority_that_doesnt_answer_is_given_up_in_time(
    nobody: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_service_principal(monkeypatch, AZURE_AUTHORITY_HOST="https://127.0.0.1:9")
    with pytest.raises(
        AzureUnavailable, match=r"service principal \(AZURE_CLIENT_ID.*can't be reached"
    ) as caught:
        async with open_azure(GUID):
            pass
    assert "proxy (HTTPS_PROXY, NO_PROXY)" in str(caught.value)
    assert "Set AZURE_TENANT_ID" not in str(caught.value)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("proxy", "shown"),
    [
        ("127.0.0.1:3128", "127.0.0.1:3128 was given;"),
        ("proxy.corp:3128", "proxy.corp:3128 was given;"),
        ("proxy", "proxy was given;"),
        ("https://proxy.corp:3128", "https://proxy.corp:3128 was given;"),
        ("socks5://proxy.corp:1080", "socks5://proxy.corp:1080 was given;"),
        ("http://", "http:// was given;"),
        ("http://proxy:99999", "http://proxy:99999 was given (Port out of range"),
        ("me:hunter2@proxy.corp:3128", "...@proxy.corp:3128 was given;"),
        ("ftp://me:hunter2@proxy.corp", "ftp://...@proxy.corp was given;"),
    ],
)
@pytest.mark.parametrize("variable", ["https_proxy", "HTTPS_PROXY"])
async def test_a_proxy_that_cant_be_used_is_named_and_no_credential_is_blamed(
    variable: str, proxy: str, shown: str, nobody: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("https_proxy", "HTTPS_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, proxy)
    with pytest.raises(WrongSetting) as caught:
        async with open_azure(GUID):
            pass
    message = str(caught.value)
    assert f"environment variable {variable}: {shown}" in message
    assert "http://" in caught.value.way_out
    assert "AZURE_TENANT_ID" not in message
    assert "hunter2" not in message


def test_a_proxy_that_no_request_goes_through_is_nobodys_business(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "proxy:3128")
    monkeypatch.setenv("no_proxy", "localhost")
    refuse_unusable_proxy("https://localhost:8443")
    with pytest.raises(WrongSetting):
        refuse_unusable_proxy("https://localhost:8443", "https://login.microsoftonline.com")
    monkeypatch.setenv("https_proxy", "http://proxy:3128")
    refuse_unusable_proxy("https://login.microsoftonline.com")


async def test_an_authority_that_says_nothing_is_given_up_at_the_deadline(
    nobody: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert limits.token_s < 10
    monkeypatch.setattr(limits, "token_s", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        authority = f"https://127.0.0.1:{silent.getsockname()[1]}"
        set_service_principal(monkeypatch, AZURE_AUTHORITY_HOST=authority)
        assert "no token within 0 s" in await refusal()


@pytest.mark.parametrize(
    ("variables", "source"),
    [
        ({"AZURE_TENANT_ID": "not a tenant"}, "service principal (AZURE_CLIENT_ID"),
        ({"AZURE_AUTHORITY_HOST": "http://127.0.0.1"}, "service principal (AZURE_CLIENT_ID"),
        (
            {"AZURE_CLIENT_SECRET": "", "AZURE_CLIENT_CERTIFICATE_PATH": "/nowhere/certificate.pem"},
            "service principal with certificate (AZURE_CLIENT_CERTIFICATE_PATH)",
        ),
        (
            {"AZURE_CLIENT_SECRET": "", "AZURE_CLIENT_CERTIFICATE_PATH": __file__},
            "service principal with certificate (AZURE_CLIENT_CERTIFICATE_PATH)",
        ),
        (
            {"AZURE_CLIENT_SECRET": "", "AZURE_FEDERATED_TOKEN_FILE": "/nowhere/token"},
            "workload identity (AZURE_FEDERATED_TOKEN_FILE)",
        ),
    ],
)
async def test_a_credential_that_cant_even_be_made_is_refused_like_any_other(
    variables: dict[str, str], source: str, nobody: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_service_principal(monkeypatch, **variables)
    assert f"source tried: {source}" in await refusal()


async def test_a_good_credential_opens_the_connection_and_says_who_calls(azure: SandboxProcess) -> None:
    async with open_azure(azure.subscription_id) as opened:
        assert current_azure() is opened
        assert opened.endpoint == arm_endpoint() == azure.endpoint
        who = await caller(opened.credential, opened.endpoint)
    assert who == (azure.object_id, azure.tenant_id, "ServicePrincipal")


class Token:
    """A credential whose tokens hold these claims, or this text."""

    def __init__(self, claims: Any) -> None:
        signed = (
            claims if isinstance(claims, str) else jwt.PyJWS().encode(json.dumps(claims).encode(), "k" * 32)
        )
        self.token = signed

    async def get_token(self, *_: str) -> "Token":
        return self


@pytest.mark.parametrize(
    ("claims", "kind"),
    [
        ({"idtyp": "user"}, "User"),
        ({"idtyp": "app"}, "ServicePrincipal"),
        ({"idtyp": "device"}, "ServicePrincipal"),
        ({"scp": "user_impersonation"}, "User"),
        ({}, "ServicePrincipal"),
    ],
)
async def test_people_and_applications_are_told_apart_by_their_tokens(
    claims: dict[str, str], kind: str
) -> None:
    credential = Token({"oid": "o", "tid": "t", "name": "Zoë ✓", **claims})
    assert await caller(credential, "https://arm") == ("o", "t", kind)


@pytest.mark.parametrize(
    "claims",
    [{}, {"oid": "o"}, {"tid": "t"}, [], ["oid"], 5, None, "opaque", "a.b", "a.!!!.c", "a..c", "a.w6k.c", ""],
)
async def test_a_token_that_doesnt_say_who_calls_is_refused(claims: Any) -> None:
    with pytest.raises(CredentialsRefused, match="doesn't say who the caller is"):
        await caller(Token(claims), "https://arm")


@pytest.mark.parametrize(
    ("given", "endpoint"),
    [
        (None, "https://management.azure.com"),
        ("", "https://management.azure.com"),
        ("https://localhost:8443/", "https://localhost:8443"),
    ],
)
def test_arm_is_the_public_clouds_unless_the_environment_says_otherwise(
    given: str | None, endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AKS_POSTGRES_ARM_ENDPOINT", raising=False)
    if given is not None:
        monkeypatch.setenv("AKS_POSTGRES_ARM_ENDPOINT", given)
    assert arm_endpoint() == endpoint


@pytest.mark.timeout(30)
@pytest.mark.parametrize("variable", ["AZURE_CLIENT_CERTIFICATE_PATH", "AZURE_FEDERATED_TOKEN_FILE"])
@pytest.mark.parametrize(
    "what",
    [
        pytest.param(one, marks=() if one == "FIFO" else pytest.mark.thorough)
        for one in NO_FILES
        if "NUL" not in one
    ],
)
async def test_a_file_of_a_credential_is_a_regular_one(
    nobody: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str, what: str
) -> None:
    make, words = NO_FILES[what]
    monkeypatch.setattr(limits, "credential_bytes", 100)
    path = str(make(tmp_path))
    monkeypatch.setenv("AZURE_TENANT_ID", GUID)
    monkeypatch.setenv("AZURE_CLIENT_ID", GUID)
    monkeypatch.setenv(variable, path)
    message = await refusal()
    assert f"{variable}: " in message
    assert words in message
