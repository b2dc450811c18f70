"""How the instance manager sets passwords: PostgreSQL sees a verifier, never the password, and logs neither.

`pkg/management/postgres/utils/roles.go` (SetUserPassword, ExecWithSuppressedLogging) and `password.go`
(EnsureEncryptedPassword) of CloudNativePG 1.30.0; before it, the password was in the statement (CVE-2026-55765), and so
in what pg_stat_statements keeps.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re
import stringprep
import unicodedata

_ITERATIONS = 4096
_SALT_BYTES = 16
_KEY = r"[A-Za-z0-9+/]{43}="
_ENCODED = re.compile(
    rf"md5[0-9a-f]{{32}}|SCRAM-SHA-256\$[1-9][0-9]*:[A-Za-z0-9+/]+={{0,2}}\${_KEY}:{_KEY}", re.ASCII
)


def quoted(name: str) -> str:
    """An SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """An SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def unlogged(statement: str) -> str:
    """A statement in a transaction that PostgreSQL's log has nothing of, however it ends."""
    return (
        "begin;\nset local log_statement = 'none';\nset local log_min_error_statement = 'panic';\n"
        f"{statement}\ncommit;\n"
    )


def verifier(password: str, salt: bytes | None = None) -> str:
    """What PostgreSQL keeps of a password; one that is encoded already is left as it is.

    https://www.postgresql.org/docs/current/catalog-pg-authid.html, RFC 5802 and RFC 7677; PostgreSQL's own parameters.
    """
    if _ENCODED.fullmatch(password):
        return password
    salt = os.urandom(_SALT_BYTES) if salt is None else salt
    salted = hashlib.pbkdf2_hmac("sha256", _prepared(password).encode(), salt, _ITERATIONS)
    client, server = (hmac.digest(salted, word, "sha256") for word in (b"Client Key", b"Server Key"))
    encoded = [base64.b64encode(part).decode() for part in (salt, hashlib.sha256(client).digest(), server)]
    return f"SCRAM-SHA-256${_ITERATIONS}:{encoded[0]}${encoded[1]}:{encoded[2]}"


def _prepared(password: str) -> str:
    """SASLprep's mapping and normalization, RFC 4013."""
    if password.isascii():
        return password
    mapped = "".join(
        " " if stringprep.in_table_c12(letter) else letter
        for letter in password
        if not stringprep.in_table_b1(letter)
    )
    return unicodedata.normalize("NFKC", mapped)
