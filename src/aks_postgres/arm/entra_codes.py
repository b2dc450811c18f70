"""What Microsoft Entra ID's error codes say about the cause of a refused sign-in, and what to do about each.

A refusal's HTTP status (400 or 401) and the moment it comes in say nothing of it; the AADSTS number in its text does:
https://learn.microsoft.com/entra/identity-platform/reference-error-codes. A number that isn't here gets what the
caller says of refusals at large.
"""

from __future__ import annotations

import re

_AGAIN = "then run again."
_SECRET = (
    "Set AZURE_CLIENT_SECRET to the value (not the ID) of a secret that this application has now "
    f"(az ad app credential reset --id CLIENT_ID makes one); {_AGAIN}"
)
_APPLICATION = (
    "Set AZURE_CLIENT_ID to the application's (client) ID, and AZURE_TENANT_ID to the tenant that it is in; "
    + _AGAIN
)
_TENANT = f"Set AZURE_TENANT_ID to the ID of the tenant that the subscription belongs to; {_AGAIN}"
_FEDERATION = (
    "Have the identity's federated credential name this issuer, subject and audience exactly (az identity "
    f"federated-credential list, az ad app federated-credential list); {_AGAIN}"
)
_POLICY = (
    "A Conditional Access policy, or multifactor authentication, keeps this identity out from here: sign in as it "
    f"wants, or ask whoever owns the policy to exempt this identity; {_AGAIN}"
)
_SIGN_IN = f"The sign-in is over: az login, {_AGAIN}"
_DISABLED = f"The identity is disabled: ask whoever manages it to enable it, or use another one; {_AGAIN}"

ADVICE: dict[str, str] = {
    "7000215": _SECRET,  # invalid secret
    "7000222": _SECRET,  # expired secrets
    "700016": _APPLICATION,  # no such application in the tenant
    "90002": _TENANT,  # no such tenant
    "900023": _TENANT,  # neither a name nor an ID
    "50020": _TENANT,  # a user of another tenant
    "700024": f"The assertion is too old or not valid yet: have this machine's clock set, and the token of "
    f"AZURE_FEDERATED_TOKEN_FILE renewed; {_AGAIN}",
    "70021": _FEDERATION,
    "700211": _FEDERATION,  # issuer
    "700212": _FEDERATION,  # audience
    "700213": _FEDERATION,  # subject
    "700027": f"Add the certificate of AZURE_CLIENT_CERTIFICATE_PATH to the application, or name one that it has; "
    f"{_AGAIN}",
    "53003": _POLICY,
    "50076": _POLICY,
    "50079": _POLICY,
    "50158": _POLICY,
    "50173": _SIGN_IN,
    "70043": _SIGN_IN,
    "700082": _SIGN_IN,
    "700084": _SIGN_IN,
    "50057": _DISABLED,
    "7000112": _DISABLED,
    "500011": "Entra ID knows nothing of this service in that tenant: set AZURE_TENANT_ID to the subscription's "
    f"tenant, and AZURE_AUTHORITY_HOST to its cloud's; {_AGAIN}",
}

_NUMBER = re.compile(r"\bAADSTS(\d+)\b")


def entra_advice(message: str, otherwise: str) -> str:
    """Return what to do about a refusal, by the number in Entra's words.

    Args:
        message: Entra's.
        otherwise: where the number is unknown, or there is none.
    """
    return next((ADVICE[number] for number in _NUMBER.findall(message) if number in ADVICE), otherwise)
