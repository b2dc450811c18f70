"""Entra: who exists, tokens, and the few Graph reads that clients make.

Left out: users and groups, refresh tokens, certificates as credentials, conditional access. A client
assertion is accepted when a federated credential of the identity names its issuer, subject and audience, and
the issuer (an AKS cluster of this sandbox) vouches for the signature.

Protocol: https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow
"""

from __future__ import annotations

import base64
import hmac
import json
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jwt

from azure_sandbox.core.json_text import read_json
from azure_sandbox.core.resource import Principal
from azure_sandbox.core.responses import ArmError, Response

if TYPE_CHECKING:
    from azure_sandbox.server.instance import Sandbox

Json = dict[str, Any]


@dataclass
class ServicePrincipal:
    """A service principal: an application's or a managed identity's."""

    object_id: str
    client_id: str
    name: str
    secret: str | None = None
    kind: str = "Application"
    visible_at_s: float = 0.0
    resource_id: str | None = None
    tenant_id: str | None = None  # None: the sandbox's own.


class EntraError(Exception):
    """An answer of the token endpoint that isn't a token."""

    def __init__(self, status: int, error: str, number: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.error = error
        self.number = number
        self.text = text


class Entra:
    """One tenant."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._signing_key = secrets.token_bytes(32)
        self._by_client_id: dict[str, ServicePrincipal] = {}
        self._by_object_id: dict[str, ServicePrincipal] = {}
        self._checked: dict[str, Json] = {}
        self._void_before = 0
        self._issued = 0
        # Issuer URL -> function that says whether a token is really its; AKS clusters put themselves here.
        self.issuers: dict[str, Callable[[str], bool]] = {}

    def reset(self) -> None:
        """Forget every principal; tokens stay good for those that come back."""
        self._by_client_id.clear()
        self._by_object_id.clear()
        self.issuers.clear()
        self._checked.clear()
        self._void_before = 0

    def add(self, principal: ServicePrincipal) -> ServicePrincipal:
        """Let a service principal exist."""
        self._by_client_id[principal.client_id.lower()] = principal
        self._by_object_id[principal.object_id.lower()] = principal
        return principal

    def add_managed_identity(self, resource_id: str, name: str) -> ServicePrincipal:
        """Make the service principal of a managed identity; replicas know it only after a while."""
        delay_s = float(self._sandbox.settings["principal_replication_s"])
        return self.add(
            ServicePrincipal(
                object_id=str(self._sandbox.uuid("principal", resource_id)),
                client_id=str(self._sandbox.uuid("client", resource_id)),
                name=name,
                kind="ManagedIdentity",
                visible_at_s=self._sandbox.clock.now_s() + delay_s,
                resource_id=resource_id,
            )
        )

    def remove(self, object_id: str) -> None:
        """Let a service principal vanish; its tokens are refused from now on."""
        principal = self._by_object_id.pop(object_id.lower(), None)
        if principal is not None:
            self._by_client_id.pop(principal.client_id.lower(), None)

    def find(self, object_id: str) -> ServicePrincipal | None:
        """A service principal by object id, whether replicated or not."""
        return self._by_object_id.get(object_id.lower())

    def replicated(self, object_id: str) -> ServicePrincipal | None:
        """A service principal by object id, once its replication has ended."""
        principal = self.find(object_id)
        return principal if principal and principal.visible_at_s <= self._sandbox.clock.now_s() else None

    def all(self) -> list[ServicePrincipal]:
        """All service principals."""
        return list(self._by_object_id.values())

    def expire_tokens(self) -> None:
        """Make every token handed out until now void."""
        self._void_before = self._issued
        self._checked.clear()

    # Tokens.

    def token(self, form: dict[str, str], authorization: str | None, tenant: str) -> Json:
        """Answer the token endpoint.

        Raises:
            EntraError: with Entra's number and text.
        """
        tenants = {item.tenant_id or self._sandbox.tenant_id for item in self.all()}
        if tenant.lower() not in tenants:
            raise EntraError(400, "invalid_request", 90002, f"Tenant '{tenant}' not found.")
        grant = form.get("grant_type", "")
        if grant != "client_credentials":
            text = f"The app requested an unsupported grant type '{grant}'."
            raise EntraError(400, "unsupported_grant_type", 70003, text)
        client_id, secret = form.get("client_id", ""), form.get("client_secret")
        if authorization and authorization.lower().startswith("basic "):
            client_id, _, secret = base64.b64decode(authorization[6:]).decode().partition(":")
        principal = self._by_client_id.get(client_id.lower())
        if principal is None or (principal.tenant_id or self._sandbox.tenant_id) != tenant.lower():
            text = f"Application with identifier '{client_id}' was not found in the directory '{tenant}'."
            raise EntraError(400, "unauthorized_client", 700016, text)
        if "client_assertion" in form:
            self._check_assertion(principal, form["client_assertion"])
        elif secret is None:
            text = (
                "The request body must contain the following parameter: 'client_assertion' or "
                "'client_secret'."
            )
            raise EntraError(401, "invalid_client", 7000218, text)
        elif principal.secret is None or not hmac.compare_digest(secret, principal.secret):
            text = f"Invalid client secret provided for app '{client_id}'."
            raise EntraError(401, "invalid_client", 7000215, text)
        scope = form.get("scope", "").split(" ")[0] or form.get("resource", "")
        if not scope:
            text = "The request body must contain the following parameter: 'scope'."
            raise EntraError(400, "invalid_request", 900144, text)
        life_s = int(self._sandbox.settings["token_life_s"])
        return {
            "token_type": "Bearer",
            "expires_in": life_s,
            "ext_expires_in": life_s,
            "access_token": self.issue(principal, scope.removesuffix("/.default"), life_s),
        }

    def issue(self, principal: ServicePrincipal, audience: str, life_s: float) -> str:
        """A signed token for a principal."""
        self._issued += 1
        now = int(time.time())
        tenant_id = principal.tenant_id or self._sandbox.tenant_id
        claims = {
            "aud": audience,
            "iss": f"https://sts.windows.net/{tenant_id}/",
            "iat": now,
            "nbf": now,
            "exp": time.time() + life_s if life_s < 5 else now + int(life_s),
            "appid": principal.client_id,
            "idtyp": "app",
            "oid": principal.object_id,
            "sub": principal.object_id,
            "tid": tenant_id,
            "uti": str(self._issued),
            "ver": "1.0",
        }
        return jwt.encode(claims, self._signing_key, algorithm="HS256", headers={"kid": "sandbox"})

    def claims(self, token: str) -> Json | None:
        """The claims of one of our tokens; None when it isn't ours."""
        known = self._checked.get(token)
        if known is not None:
            return known
        try:
            # When it ends is asked later: an answer of its own says so.
            claims: Json = json.loads(jwt.PyJWS().decode(token, self._signing_key, algorithms=["HS256"]))
        except (jwt.PyJWTError, RecursionError):  # A header can be nested deeply.
            return None
        if len(self._checked) > 10_000:
            self._checked.clear()
        self._checked[token] = claims
        return claims

    def caller(self, authorization: str | None, audiences: Callable[[str], bool]) -> Principal:
        """The principal behind an Authorization header.

        Args:
            authorization: the header.
            audiences: whether a token's audience is good enough.

        Raises:
            ArmError: 401, in ARM's words.
        """
        if not authorization or not authorization.lower().startswith("bearer "):
            text = "Authentication failed. The 'Authorization' header is missing."
            raise self._refusal("AuthenticationFailed", text)
        claims = self.claims(authorization[7:].strip())
        if claims is None:
            raise self._refusal("InvalidAuthenticationToken", "The access token is invalid.")
        if claims["tid"] != self._sandbox.tenant_id:
            raise self._refusal(
                "InvalidAuthenticationTokenTenant",
                f"The access token is from the wrong issuer '{claims['iss']}'. It must match the tenant "
                f"'https://sts.windows.net/{self._sandbox.tenant_id}/' associated with this subscription.",
            )
        if claims["exp"] <= time.time() or int(claims["uti"]) <= self._void_before:
            expiry = time.strftime("%m/%d/%Y %I:%M:%S %p", time.gmtime(min(claims["exp"], time.time())))
            now = time.strftime("%m/%d/%Y %I:%M:%S %p", time.gmtime())
            text = f"The access token expiry UTC time '{expiry}' is earlier than current UTC time '{now}'."
            raise self._refusal("ExpiredAuthenticationToken", text)
        if not audiences(str(claims["aud"]).rstrip("/").lower()):
            text = f"The access token has been obtained for wrong audience or resource '{claims['aud']}'."
            raise self._refusal("InvalidAuthenticationTokenAudience", text)
        principal = self.find(claims["oid"])
        if principal is None:
            text = f"The principal '{claims['oid']}' of the access token doesn't exist in the tenant."
            raise self._refusal("InvalidAuthenticationToken", text)
        return Principal(principal.object_id, principal.client_id, principal.name)

    def _refusal(self, code: str, text: str) -> ArmError:
        authority = f"{self._sandbox.endpoint}/{self._sandbox.tenant_id}"
        challenge = (
            f'Bearer authorization_uri="{authority}", error="invalid_token", error_description="{text}"'
        )
        headers = {"WWW-Authenticate": challenge, "x-ms-failure-cause": "gateway"}
        return ArmError(401, code, text, headers=headers)

    def _check_assertion(self, principal: ServicePrincipal, assertion: str) -> None:
        try:
            payload = jwt.PyJWS().decode(assertion, options={"verify_signature": False})
            claims = read_json(payload)
            issuer, subject = claims["iss"], claims["sub"]
        except (jwt.PyJWTError, RecursionError, ValueError, KeyError, TypeError) as error:
            text = "Client assertion is not a valid token."
            raise EntraError(401, "invalid_client", 700030, text) from error
        audiences = claims.get("aud")
        audiences = audiences if isinstance(audiences, list) else [audiences]
        for credential in self._sandbox.store.under(
            principal.resource_id or "/none",
            "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials",
        ):
            wanted = credential.properties
            if wanted["issuer"] != issuer or wanted["subject"] != subject:
                continue
            if set(wanted["audiences"]) & set(audiences):
                break
        else:
            text = (
                f"No matching federated identity record found for presented assertion issuer '{issuer}', "
                f"subject '{subject}'."
            )
            raise EntraError(401, "invalid_client", 700213, text)
        if issuer not in self.issuers or not self.issuers[issuer](assertion):
            text = f"The signature of the assertion can't be checked with the keys of '{issuer}'."
            raise EntraError(401, "invalid_client", 700027, text)
        if claims.get("exp", 0) < time.time():
            raise EntraError(
                401, "invalid_client", 700024, "Client assertion is not within its valid time range."
            )

    # Discovery and Graph.

    def configuration(self, tenant: str, base_url: str) -> Json:
        """The OpenID configuration of a tenant."""
        return {
            "token_endpoint": f"{base_url}/{tenant}/oauth2/v2.0/token",
            "authorization_endpoint": f"{base_url}/{tenant}/oauth2/v2.0/authorize",
            "device_authorization_endpoint": f"{base_url}/{tenant}/oauth2/v2.0/devicecode",
            "issuer": f"{base_url}/{tenant}/v2.0",
            "jwks_uri": f"{base_url}/{tenant}/discovery/v2.0/keys",
            "token_endpoint_auth_methods_supported": ["client_secret_post", "client_secret_basic"],
            "response_types_supported": ["code", "token"],
            "subject_types_supported": ["pairwise"],
            "id_token_signing_alg_values_supported": ["RS256"],
        }

    def graph(self, method: str, path: str, query: dict[str, str], raw: bytes) -> Response:
        """Answer the reads of Graph v1.0 that az and the SDKs' users make.

        https://learn.microsoft.com/graph/api/serviceprincipal-get and directoryobject-getbyids
        """
        segments = path.strip("/").split("/")[1:]
        if method == "GET" and segments == ["me"]:
            text = "/me request is only valid with delegated authentication flow."
            raise ArmError(400, "BadRequest", text)
        if method == "GET" and segments[:1] == ["servicePrincipals"] and len(segments) == 2:
            principal = self.replicated(segments[1])
            if principal is None:
                text = (
                    f"Resource '{segments[1]}' does not exist or one of its queried reference-property "
                    "objects are not present."
                )
                raise ArmError(404, "Request_ResourceNotFound", text)
            return Response(200, _shown(principal))
        if method == "POST" and segments == ["directoryObjects", "getByIds"]:
            try:
                wanted = [str(item) for item in read_json(raw)["ids"]]
            except (ValueError, KeyError, TypeError) as error:
                raise ArmError(400, "Request_BadRequest", "The body must hold a list of ids.") from error
            found = [self.replicated(object_id) for object_id in wanted]
            kind = {"@odata.type": "#microsoft.graph.servicePrincipal"}
            return Response(200, {"value": [kind | _shown(item) for item in found if item is not None]})
        if method == "GET" and segments == ["servicePrincipals"]:
            return Response(200, {"value": self._filtered(query.get("$filter", ""))})
        raise ArmError(
            501,
            "NotImplemented",
            f"Graph's {method} {path} isn't emulated; it would be added to azure_sandbox/core/entra.py.",
        )

    def _filtered(self, wanted: str) -> list[Json]:
        quoted = wanted.split("'")[1::2]
        known = [item for item in self.all() if item.visible_at_s <= self._sandbox.clock.now_s()]
        if not wanted:
            return [_shown(item) for item in known]
        if len(quoted) != 1:
            raise ArmError(
                501, "NotImplemented", f"Graph's filter {wanted} isn't emulated: azure_sandbox/core/entra.py."
            )
        value = quoted[0].lower()
        if wanted.startswith(("servicePrincipalNames/any", "appId eq")):
            return [_shown(item) for item in known if item.client_id.lower() == value]
        if wanted.startswith("displayName eq"):
            return [_shown(item) for item in known if item.name.lower() == value]
        if wanted.startswith("id eq"):
            return [_shown(item) for item in known if item.object_id.lower() == value]
        raise ArmError(
            501, "NotImplemented", f"Graph's filter {wanted} isn't emulated: azure_sandbox/core/entra.py."
        )


def error_document(error: EntraError) -> Json:
    """The token endpoint's error, as Entra writes it."""
    trace = secrets.token_hex(8)
    return {
        "error": error.error,
        "error_description": f"AADSTS{error.number}: {error.text} Trace ID: {trace}",
        "error_codes": [error.number],
        "timestamp": time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime()),
        "trace_id": trace,
        "correlation_id": trace,
    }


def _shown(principal: ServicePrincipal) -> Json:
    return {
        "id": principal.object_id,
        "appId": principal.client_id,
        "displayName": principal.name,
        "servicePrincipalType": principal.kind,
        "servicePrincipalNames": [principal.client_id],
    }
