"""Text that others wrote, such as Azure's errors, conditions and tags: printable, and without secrets.

It passes here where it comes in: in every error (`errors`), every event (`reports.journal`) and every output
(`reports.outputs`). Markdown is another matter, of whoever renders it (`in_markdown`, `in_code`).

Secrets are removed in two ways. Those of this run are known by their values (`keep_secret`), whatever is around them.
Others are told by their looks, which can't be complete.
"""

from __future__ import annotations

import base64
import html
import json
import re
from typing import Any
from urllib.parse import quote, quote_plus

from aks_postgres.limits import limits

REMOVED = "(removed)"

_MAX_TEXT = 600
# More isn't looked through: an answer may have megabytes of text.
_MOST_LOOKED_AT = 8000
# Shorter values are words, too, and would take every message apart.
_SHORTEST_SECRET = 8
# So would these, which our own messages are made of; as a password they are guessed first, and hide nothing. What names
# them as one (`password=`, user:password@host) is still told by its looks.
_PLAIN_WORDS = frozenset(
    re.findall(
        r"\S+",
        "administrator cloudnative cloudnativepg container database databases defaults deployment environment identity "
        "kubernetes location microsoft namespace operator password postgres postgresql provision resource "
        "subscription username",
    )
)
kept_secrets: dict[str, None] = {}

# A terminal's commands (ECMA-48): CSI ... final byte, and OSC ... BEL or ST.
_COMMANDS = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]|(?:\x1b\]|\x9d)[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)"
)
# Nothing to see, although Unicode counts them as letters, marks and symbols (Default_Ignorable_Code_Point, and the
# blank Braille pattern): https://www.unicode.org/Public/UCD/latest/ucd/DerivedCoreProperties.txt
_INVISIBLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)

# What a secret is called, before a colon or an equals sign.
_NAMED = (
    r"[\w.$-]{0,40}?(?:secret|password|passwd|passphrase|pwd|pgpass|token|assertion|signature|credentials?"
    r"|connection[_-]?string|client[_-](?:key|certificate)[_-]data"
    r"|(?:account|access|shared|storage|primary|secondary|api|private|encryption|subscription|master|host|function)"
    r"[_-]?key)(?:[_-]?value)?"
)
_QUOTE = r"""(?:\\*["'`]|%22|%27|&quot;|&\#3[49];)"""
# After a colon these go on a sentence.
_WORDS = frozenset(
    re.findall(
        r"\S+",
        "a an and are can can't cannot could doesn't does expired for has have invalid is isn't it its may missing "
        "must no not null none of or please required should that the their there this to unknown was were when which "
        "will with you your true false access authentication authorization client key provided secret",
    )
)
_SECRETS = [
    # PEM, on one line or several, whole or cut.
    re.compile(r"-----BEGIN[^-]{1,60}-----.*?(?:-----END[^-]{1,60}-----|$)", re.S),
    re.compile(r"eyJ[\w-]{10,}\.[\w.-]+"),
    re.compile(
        r"(?i:\b(?:bearer|basic|sharedkey(?:lite)?|sharedaccesssignature|negotiate|digest|token))\s+"
        r"(?=[^\s]*[A-Z0-9=])[\w.~+/:%&=-]{8,}"
    ),
    re.compile(
        r"(?i:\b(?:proxy-)?authorization|\bx-api-key|\bapikey|\bocp-apim-subscription-key)[\"']?\s*[:=]\s*[\"']?\S+"
    ),
    re.compile(r"(?i:\b(?:set-)?cookie)[\"']?\s*:\s*[^\s;]+(?:;\s*[^\s;=]+=[^\s;]+)*"),
    # user:password@host
    re.compile(r"(?<=://)[^\s/@:\"']*:[^\s/\"']*@"),
    re.compile(r"(?i:(?<=[?&;])|(?<=%26)|(?<=%3f)|(?<=\s)|^)sig(?:nature)?(?:=|%3[dD])[^\s&;,\"'<>]+"),
    re.compile(r"(?i)(?<![\w-])--?[\w-]*(?:password|secret|token|key|pwd)[\s=]+(?!-)\S+"),
    # Entra's client secrets, GitHub's tokens, AWS's keys, and keys in Base64.
    re.compile(r"[\w~.-]{3}\dQ~[\w~.-]{20,}"),
    # Prefect's and Slack's, and Slack's and Teams' addresses that anyone may post to.
    re.compile(r"\bpn[ub]_\w{20,}|\bxox[abeoprs]-[\w-]{10,}"),
    re.compile(
        r"(?i)\bhttps://(?:hooks\.slack\.com/(?:services|workflows)|[\w.-]+\.webhook\.office\.com)/[^\s\"'<>]+"
    ),
    # curl's user and password, netrc's, pgpass's.
    re.compile(r"(?<![\w-])(?:-u|--(?:proxy-)?user)[\s=]+[^\s:]+:\S+"),
    re.compile(r"(?i)\blogin\s+\S+\s+password\s+\S+"),
    re.compile(r"(?<![\w.*/:-])[\w.*-]+:(?:\d{2,5}|\*):\*:[\w.@*-]+:[^\s:;,\"']+"),
    # A name of a secret's beside its value: a template's parameter, a container's variable, an account's keys.
    re.compile(
        r"(?i)(?P<q>\\*[\"'])[\w.-]*(?:secret|password|passwd|pwd|token|key)[\w.-]*(?P=q)\s*[:,]\s*\{?\s*"
        r"(?P=q)value(?P=q)\s*:\s*(?P=q).*?(?:(?P=q)|$)",
        re.S,
    ),
    # Lists of them, docker's credentials, and YAML's text on the lines below.
    re.compile(r"(?i)[\w.-]*(?:secret|password|token)s?(?:\\*[\"'])?\s*[:=]\s*\[\s*[\"'\\][^\]]*\]?"),
    re.compile(r"(?i)(?P<q>\\*[\"'])auth(?P=q)\s*:\s*(?P=q).*?(?:(?P=q)|$)", re.S),
    re.compile(rf"(?i){_NAMED}\s*:\s*[|>][+-]?\d?[+-]?\s+\S+"),
    re.compile(r"\bgh[pousr]_\w{20,}|\bgithub_pat_\w{20,}|\bAKIA[0-9A-Z]{16}\b|\bsk-[\w-]{20,}"),
]
# A public key and a digest look like these, too.
_LONG = [
    # An action such as Microsoft.Resource/type/listSecrets/action is as long and holds nothing else.
    re.compile(
        r"(?<![A-Za-z0-9+/])(?<!(?i:Microsoft)\.)[A-Za-z0-9+/]{60,}={0,2}(?:\s+[A-Za-z0-9+/]{2,}={1,2})?"
    ),
    re.compile(r"(?<![\w/.-])(?!/subscriptions)[A-Za-z0-9_-]{80,}={0,2}"),
    re.compile(r"\b[a-fA-F0-9]{48,}\b"),
]
_NAMES = re.compile(
    rf"(?i:(?P<name>{_NAMED}|(?<=<)key|(?<![\w-])key(?==)))(?P<sep>{_QUOTE}?\s*(?:=>|[:=>]|%3[ad])\s*)"
    rf"(?:(?P<open>{_QUOTE})(?P<quoted>.*?)(?:(?P=open)|$)|(?P<bare>(?:[^\s&;,\"'<>%{{}}]|%(?!2[27])[0-9A-Fa-f]{{2}})+))",
    re.S | re.I,
)
# The same without quotes, where a word is none of a language's.
_BARE_PROSE = re.compile(
    r"(?i)((?:client\s+secret|secret\s+value|password|passphrase|access\s+key|account\s+key)"
    r"(?:\s+(?:value|key|is|was|of|provided|given|used|being))*\s+)(?=[^\s.,;]*\d)(?=[^\s.,;]*[A-Za-z])[\w~!@#$%^&*+=-]{8,}"
)
# In prose: client secret 'value', password is "value".
_PROSE = re.compile(
    r"(?i)((?:client\s+secret|secret\s+value|password|passphrase|access\s+key|account\s+key)"
    r"(?:\s+(?:value|key|is|was|of|provided|given|used|being))*\s*:?\s*)([\"'`\u2018\u201c]).+?[\"'`\u2019\u201d]"
)


def keep_secret(value: str | bytes | None) -> None:
    """Remove this value from all text from now on, also in its usual encodings."""
    if not value:
        return
    text = value.decode(errors="replace") if isinstance(value, bytes) else value
    for part in (text.strip(), *(line.strip() for line in text.splitlines() if len(line.strip()) >= 20)):
        if len(part) < _SHORTEST_SECRET or part.startswith("-----") or part.casefold() in _PLAIN_WORDS:
            continue
        encoded = base64.b64encode(part.encode()).decode()
        for form in (
            part,
            quote(part, safe=""),
            quote_plus(part),
            json.dumps(part)[1:-1],
            html.escape(part),
            encoded,
        ):
            kept_secrets.pop(form, None)
            kept_secrets[form] = None
    while len(kept_secrets) > limits.secrets:
        del kept_secrets[next(iter(kept_secrets))]


def without_known(text: str) -> str:
    """Text without the secrets of this run."""
    for secret in sorted(
        (secret_text for secret_text in list(kept_secrets) if secret_text in text), key=len, reverse=True
    ):
        text = text.replace(secret, REMOVED)
    return text


def printable(text: str, *, lines: bool = False) -> str:
    """Text without anything that moves a cursor, turns its direction or can't be seen.

    Args:
        text: anything.
        lines: whether line breaks stay; otherwise they become spaces.
    """
    if text.isascii() and text.isprintable():
        return text
    text = _INVISIBLE.sub("", _COMMANDS.sub("", text.replace("\r\n", "\n")))
    return "".join(_sign(sign, lines) for sign in text)


def _sign(sign: str, lines: bool) -> str:
    if sign.isprintable() or (lines and sign == "\n"):
        return sign
    return " " if sign.isspace() else ""


def shown(text: str) -> str:
    """Text for people, in lines: printable, and without this run's secrets."""
    return without_known(printable(text, lines=True))


def in_line(text: object) -> str:
    """The same on one line, so that it can't pass for a line of ours."""
    return without_known(printable(str(text)))


def shown_inside(value: Any) -> Any:
    """The same for every text in JSON or in a tuple; anything else as it is."""
    if isinstance(value, str):
        return shown(value)
    if isinstance(value, dict):
        return {shown_inside(key): shown_inside(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple) and type(value) in (list, tuple):
        return type(value)(map(shown_inside, value))
    return value


def clean(text: str) -> str:
    """Foreign text on one line, cut, and without anything that looks like a secret."""
    text = without_known(printable(text[:_MOST_LOOKED_AT], lines=True))
    for pattern in (*_SECRETS, *_LONG):
        text = pattern.sub(REMOVED, text)
    text = _NAMES.sub(_without_value, text)
    for prose in (_PROSE, _BARE_PROSE):
        text = prose.sub(rf"\1{REMOVED}", text)
    text = " ".join(text.split())
    return text if len(text) <= _MAX_TEXT else text[: _MAX_TEXT - 3] + "..."


def _without_value(found: re.Match[str]) -> str:
    bare = found["bare"]
    if bare is not None and (
        bare.startswith(REMOVED) or (":" in found["sep"] and bare.rstrip(".:").casefold() in _WORDS)
    ):
        return found[0]
    if bare is None and not found["quoted"]:
        return found[0]
    opening = found["open"] or ""
    return f"{found['name']}{found['sep']}{opening}{REMOVED}{opening}"


# https://user@host too, as a token often stands there alone.
_USER_INFO = re.compile(r"(?i)[a-z][a-z0-9+.-]*://[^\s/?#@]+@")
_SECRET_KEY = re.compile(
    r"(?i).*(?:password|passwd|passphrase|pwd|token|credentials?|connection[_-]?string"
    r"|client[_-]?secret|(?:account|access|shared|storage|api|private|encryption)[_-]?key)"
)
# What a secret is made of; its beginning and its end tell what it is.
_LONG_RUNS = re.compile(r"([^\s:/@.&;,\"'<>=?]{100})[^\s:/@.&;,\"'<>=?]+([^\s:/@.&;,\"'<>=?]{100})")


def holds_secret(value: Any, levels: int = 20) -> bool:
    """Whether a text, or one inside a mapping or list, can only be a secret or hold one, as far as looks tell.

    Args:
        value: what a person gave, such as a URL or a mapping of tags.
        levels: how deep it is looked into; a mapping may hold itself.
    """
    if not levels:
        return False
    if isinstance(value, str):
        # In parts that overlap, so that none is too long for these patterns, and no secret too long for the overlap.
        text = _LONG_RUNS.sub(r"\1\2", value)
        parts = (text[at : at + _MOST_LOOKED_AT] for at in range(0, len(text) or 1, _MOST_LOOKED_AT // 2))
        return any(secret in value for secret in list(kept_secrets)) or any(
            any(pattern.search(part) for pattern in (*_SECRETS, _USER_INFO))
            or _NAMES.sub(_without_value, part) != part
            for part in parts
        )
    if isinstance(value, dict):
        # A container's variable, as Kubernetes writes it.
        if isinstance(name := value.get("name"), str) and _SECRET_KEY.fullmatch(name) and value.get("value"):
            return True
        return any(
            holds_secret(key)
            or holds_secret(inner, levels - 1)
            or (isinstance(inner, str) and inner and isinstance(key, str) and _SECRET_KEY.fullmatch(key))
            for key, inner in value.items()
        )
    if isinstance(value, list | tuple):
        return any(holds_secret(inner, levels - 1) for inner in value)
    return False


_MARKDOWN = re.compile(r"[\\`*\[\]|~#!$]|(?<!\w)_|_(?!\w)")
_HTML = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


def in_markdown(text: object) -> str:
    """Foreign text on one line of Markdown, as itself: no markup, no HTML, no cell of its own.

    https://spec.commonmark.org/0.31.2/#backslash-escapes
    """
    text = " ".join(shown(str(text)).split())
    return "".join(_HTML.get(sign, sign) for sign in _MARKDOWN.sub(lambda found: f"\\{found[0]}", text))


def in_code(text: object) -> str:
    """Foreign text between backticks of Markdown, where nothing can be escaped."""
    return " ".join(shown(str(text)).replace("`", "'").split()).replace("|", "\\|")
