"""The OIDC issuers of clusters: who signs the tokens of service accounts, and where the keys can be read.

https://learn.microsoft.com/azure/aks/workload-identity-overview. All clusters of a sandbox share one key, which is
made when it is first wanted and not kept over a restart; on Azure each has its own, and it is rotated.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import json
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

Json = dict[str, Any]

SUFFIX = ".oic.prod-aks.azure.com"
"""Of the host in an issuer's URL, after the region."""
PATH = "/oic/"
"""Where the sandbox's own port serves the documents of an issuer, for clients that don't go through its proxy."""


class TokenSigner:
    """Signs tokens, and tells which ones it has signed."""

    @functools.cached_property
    def _key(self) -> rsa.RSAPrivateKey:
        return rsa.generate_private_key(public_exponent=65537, key_size=2048)

    def sign(self, claims: Json) -> str:
        """A JSON web token with these claims."""
        header = {"alg": "RS256", "kid": self._key_id(), "typ": "JWT"}
        signed = f"{_encoded(json.dumps(header).encode())}.{_encoded(json.dumps(claims).encode())}"
        signature = self._key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{signed}.{_encoded(signature)}"

    def verifies(self, token: str) -> bool:
        """Whether a token is one of ours, and unchanged."""
        signed, _, signature = token.rpartition(".")
        try:
            raw = base64.urlsafe_b64decode(signature + "=" * (-len(signature) % 4))
            self._key.public_key().verify(raw, signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        except (ValueError, InvalidSignature):
            return False
        return True

    def documents(self, issuer: str) -> dict[str, Json]:
        """What an issuer serves, by the path below its URL."""
        numbers = self._key.public_key().public_numbers()
        key = {
            "use": "sig",
            "kty": "RSA",
            "kid": self._key_id(),
            "alg": "RS256",
            "n": _encoded(numbers.n.to_bytes((numbers.n.bit_length() + 7) // 8, "big")),
            "e": _encoded(numbers.e.to_bytes(3, "big")),
        }
        return {
            ".well-known/openid-configuration": {
                "issuer": issuer,
                "jwks_uri": f"{issuer}openid/v1/jwks",
                "response_types_supported": ["id_token"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["RS256"],
            },
            "openid/v1/jwks": {"keys": [key]},
        }

    def _key_id(self) -> str:
        number = self._key.public_key().public_numbers().n
        return _encoded(hashlib.sha256(str(number).encode()).digest())[:22]


def _encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
