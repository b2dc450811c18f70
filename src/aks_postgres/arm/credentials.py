"""Who we are for Azure: one credential a run, chosen by what the environment offers, checked at once."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Self

import jwt
from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    ServiceRequestError,
    ServiceResponseError,
)

from aks_postgres.arm.cloud_metadata import CloudFacts
from aks_postgres.arm.entra_codes import entra_advice
from aks_postgres.arm.error_codes import RULES
from aks_postgres.arm.errors import AzureRefused, AzureUnavailable, CredentialsRefused
from aks_postgres.arm.responses import ArmFault, clean
from aks_postgres.arm.way_to_azure import fault_on_the_way, refuse_unusable_proxy
from aks_postgres.files.environment_secrets import keep_secrets_of_environment
from aks_postgres.files.given_files import FileRefused, read_given
from aks_postgres.foreign_text import keep_secret
from aks_postgres.limits import limits
from aks_postgres.spec import clouds

ARM_ENDPOINT_VARIABLE = "AKS_POSTGRES_ARM_ENDPOINT"


def arm_endpoint() -> str:
    """Return where ARM is: the public cloud's, unless the environment says otherwise (sandbox, sovereign clouds)."""
    return (os.environ.get(ARM_ENDPOINT_VARIABLE) or clouds.ARM).rstrip("/")


def _choose(facts: CloudFacts, transport: Any) -> tuple[str, Callable[[], Any]]:
    """Return what the credential is called in messages, and how to make it (which reads files and may fail)."""
    from azure.identity import aio

    have = os.environ.get
    options: dict[str, Any] = {"transport": transport, "retry_total": 1}
    if authority := have("AZURE_AUTHORITY_HOST") or (
        facts.login if facts.login != CloudFacts.login else None
    ):
        # An authority of one's own isn't known to the public cloud's instance discovery.
        options |= {"authority": authority, "disable_instance_discovery": True}
    if have("AZURE_CLIENT_ID") and have("AZURE_TENANT_ID") and have("AZURE_CLIENT_SECRET"):
        return "service principal (AZURE_CLIENT_ID, AZURE_TENANT_ID, AZURE_CLIENT_SECRET)", partial(
            aio.ClientSecretCredential,
            os.environ["AZURE_TENANT_ID"],
            os.environ["AZURE_CLIENT_ID"],
            os.environ["AZURE_CLIENT_SECRET"],
            **options,
        )
    if have("AZURE_CLIENT_ID") and have("AZURE_TENANT_ID") and have("AZURE_CLIENT_CERTIFICATE_PATH"):
        return "service principal with certificate (AZURE_CLIENT_CERTIFICATE_PATH)", partial(
            _by_certificate,
            os.environ["AZURE_TENANT_ID"],
            os.environ["AZURE_CLIENT_ID"],
            **options,
        )
    if have("AZURE_FEDERATED_TOKEN_FILE") and have("AZURE_CLIENT_ID") and have("AZURE_TENANT_ID"):
        return "workload identity (AZURE_FEDERATED_TOKEN_FILE)", partial(_by_token_file, **options)
    if (
        have("IDENTITY_ENDPOINT")
        or have("MSI_ENDPOINT")
        or (have("AZURE_TOKEN_CREDENTIALS") or "").casefold() == "managedidentitycredential"
    ):
        return "managed identity", partial(
            aio.ManagedIdentityCredential, client_id=have("AZURE_CLIENT_ID"), transport=transport
        )
    if shutil.which("az"):
        return "the signed-in Azure CLI (az login)", partial(aio.AzureCliCredential, process_timeout=9)
    return "managed identity of this machine (IMDS)", partial(
        aio.ManagedIdentityCredential, client_id=have("AZURE_CLIENT_ID"), transport=transport, retry_total=1
    )


# azure-identity opens both files by itself, on the event loop, and would wait for a FIFO for ever.
def _by_certificate(tenant_id: str, client_id: str, **options: Any) -> Any:
    from azure.identity import aio

    data = _secret_file("AZURE_CLIENT_CERTIFICATE_PATH")
    return aio.CertificateCredential(tenant_id, client_id, certificate_data=data, **options)


def _by_token_file(**options: Any) -> Any:
    from azure.identity import aio

    _secret_file("AZURE_FEDERATED_TOKEN_FILE")
    return aio.WorkloadIdentityCredential(**options)


def _secret_file(variable: str) -> bytes:
    try:
        return read_given(os.environ[variable], limits.credential_bytes)
    except FileRefused as refused:
        raise ValueError(f"{variable}: {refused}.") from None


class SignInRefused(ClientAuthenticationError):
    """Microsoft Entra ID gives no token; the SDK raises the same for ARM's own 401."""


class RenewableCredential:
    """The run's credential; `renew` forgets the cached token, which azure-identity itself can't do."""

    def __init__(self, facts: CloudFacts, transport: Any) -> None:
        self.source, self._make = _choose(facts, transport)
        self._inner: Any = None
        self._token = ""

    async def get_token(self, *scopes: str, **options: Any) -> Any:
        """A token for the scopes, from azure-identity's cache if it is good."""
        if self._inner is None:
            self._inner = self._make()
        try:
            found = await self._inner.get_token(*scopes, **options)
        except ClientAuthenticationError as error:
            refused = SignInRefused(message=error.message)
            refused.response, refused.status_code = error.response, error.status_code
            raise refused from None
        except (AttributeError, LookupError, RecursionError, TypeError) as error:
            # azure-identity reads what Entra answers as if it were always what it has to be.
            raise ServiceResponseError(
                f"Microsoft Entra ID's answer can't be read ({type(error).__name__})"
            ) from None
        if found.token != self._token:
            self._token = found.token
            keep_secret(found.token)
        return found

    async def renew(self) -> None:
        """Start over with an empty cache."""
        await self.close()

    async def close(self) -> None:
        """Close what azure-identity opened."""
        stale, self._inner = self._inner, None
        if stale is not None:
            await stale.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


@asynccontextmanager
async def open_credential(facts: CloudFacts, transport: Any) -> AsyncIterator[RenewableCredential]:
    """Choose a credential, get a first token with it, and close it at the end.

    Args:
        facts: of the cloud.
        transport: azure-core's, over the run's HTTP session.

    Raises:
        CredentialsRefused: names the source that was tried and what to do.
        WrongSetting: the proxy of the environment can't be used.
        AzureRefused, AzureUnavailable: the way to Microsoft Entra ID is closed, or it has trouble itself.
    """
    refuse_unusable_proxy(arm_endpoint(), os.environ.get("AZURE_AUTHORITY_HOST") or facts.login)
    keep_secrets_of_environment()
    credential = RenewableCredential(facts, transport)
    source = credential.source
    hint = (
        "Set AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET (or AZURE_FEDERATED_TOKEN_FILE), sign "
        "in with `az login`, or give this machine a managed identity."
    )
    try:
        try:
            async with asyncio.timeout(limits.token_s):
                await credential.get_token(f"{facts.audience}/.default")
        except TimeoutError:
            raise CredentialsRefused(
                f"no token within {limits.token_s:.0f} s; source tried: {source}.", way_out=hint
            ) from None
        except ClientAuthenticationError as error:
            status = (error.response.status_code if error.response is not None else None) or 0
            if status == 429 or status >= 500:
                raise AzureUnavailable(
                    f"Microsoft Entra ID has trouble (HTTP {status}); source tried: {source}. It said: "
                    f"{_sentence(error.message)} Run again in some minutes."
                ) from None
            raise CredentialsRefused(
                f"Microsoft Entra ID refused the credential; source tried: {source}. "
                f"It said: {_sentence(error.message)}",
                way_out=entra_advice(error.message, hint),
            ) from None
        except (ServiceRequestError, ServiceResponseError) as error:
            label = f"Microsoft Entra ID (source tried: {source})"
            if fault := fault_on_the_way(getattr(error, "inner_exception", None)):
                raise AzureRefused(
                    f"{label}: {fault}.", fault.code, way_out=RULES[fault.code].advice
                ) from None
            raise AzureUnavailable(
                f"{label} can't be reached from here: {clean(str(error))}. Look at this machine's network, DNS, "
                "firewall and proxy (HTTPS_PROXY, NO_PROXY) and at AZURE_AUTHORITY_HOST; then run again."
            ) from None
        except (AzureError, ArmFault, ValueError, OSError) as error:
            raise CredentialsRefused(
                f"no token could be had; source tried: {source}. Reason: {_sentence(str(error))}",
                way_out=hint,
            ) from None
        yield credential
    finally:
        await credential.close()


def _sentence(text: str) -> str:
    """What Entra said, with an end, as a sentence follows."""
    said = clean(text).rstrip()
    return said if said.endswith((".", "!", "?")) else f"{said}."


async def token_for(credential: RenewableCredential, audience: str, what: str) -> str:
    """A token of the run's own credential for something else than ARM.

    Args:
        credential: the run's.
        audience: an application's ID or URL.
        what: it is for, in messages.

    Raises:
        CredentialsRefused: Entra gives none.
        ArmFault: it couldn't be asked now.
    """
    try:
        return str((await credential.get_token(f"{audience}/.default")).token)
    except ClientAuthenticationError as error:
        status = (error.response.status_code if error.response is not None else None) or 0
        if status == 429 or status >= 500:
            raise ArmFault(None, "NoAnswer", clean(error.message), reached=False) from None
        raise CredentialsRefused(
            f"Microsoft Entra ID gives no token for {what}; source: {credential.source}. It said: "
            f"{_sentence(error.message)}",
            way_out=entra_advice(
                error.message,
                "Sign in again, or have the policy exempt this identity that keeps it out (Conditional Access); "
                "then run again.",
            ),
        ) from None
    except AzureError as error:
        raise ArmFault(None, "NoAnswer", clean(str(error)), reached=False) from None


async def caller(credential: Any, audience: str) -> tuple[str, str, str]:
    """Object ID, tenant ID and kind (User or ServicePrincipal) of the identity behind the credential.

    Read from the access token's claims, so that no right on Microsoft Graph is needed.
    """
    token = (await credential.get_token(f"{audience}/.default")).token
    try:
        # Who signed it is Azure's business: the token goes to nobody but ARM.
        claims = jwt.decode(token, options={"verify_signature": False})
        kind = (
            "User"
            if claims.get("idtyp", "app" if "scp" not in claims else "user") == "user"
            else "ServicePrincipal"
        )
        return claims["oid"], claims["tid"], kind
    except (jwt.PyJWTError, KeyError, TypeError):
        raise CredentialsRefused(
            "the access token doesn't say who the caller is (no oid claim).",
            way_out="Use a service principal, a managed identity or az login; then run again.",
        ) from None
