"""The OIDC issuers of clusters: who signs the tokens of service accounts, and where the keys can be read.

https://learn.microsoft.com/azure/aks/workload-identity-overview. All clusters of a sandbox share one key, which is
made when it is first wanted and not kept over a restart; on Azure each has its own, and it is rotated.
"""

from __future__ import annotations

import functools
import json
import uuid
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

Json = dict[str, Any]

SUFFIX = ".oic.prod-aks.azure.com"
"""Of the host in an issuer's URL, after the region."""
PATH = "/oic/"
"""Where the sandbox's own port serves the documents of an issuer, for clients that don't go through its proxy."""


class TokenSigner:
    """Signs tokens, and tells which ones it has signed."""

    def __init__(self) -> None:
        self._key_id = str(uuid.uuid4())

    @functools.cached_property
    def _key(self) -> rsa.RSAPrivateKey:
        return rsa.generate_private_key(public_exponent=65537, key_size=2048)

    def sign(self, claims: Json) -> str:
        """A JSON web token with these claims."""
        return jwt.encode(claims, self._key, algorithm="RS256", headers={"kid": self._key_id})

    def verifies(self, token: str) -> bool:
        """Whether a token is one of ours, and unchanged; whether it is in time isn't asked."""
        try:
            jwt.PyJWS().decode(token, self._key.public_key(), algorithms=["RS256"])
        except (jwt.PyJWTError, RecursionError):  # A header can be nested deeply.
            return False
        return True

    def documents(self, issuer: str) -> dict[str, Json]:
        """What an issuer serves, by the path below its URL."""
        key = json.loads(RSAAlgorithm.to_jwk(self._key.public_key()))
        return {
            ".well-known/openid-configuration": {
                "issuer": issuer,
                "jwks_uri": f"{issuer}openid/v1/jwks",
                "response_types_supported": ["id_token"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["RS256"],
            },
            "openid/v1/jwks": {"keys": [{**key, "use": "sig", "alg": "RS256", "kid": self._key_id}]},
        }
