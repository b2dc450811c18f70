"""What a recording keeps of an exchange: its shape, and words that are Azure's own; never a text of yours.

Nothing is kept because it looks harmless: a text stays only where its field holds a word of Azure's or Kubernetes', and
has the form of one. Every other text becomes `text-1`, `text-2`..., the same for the same text; IDs keep their types.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

# Fields whose text is a word of Azure's or Kubernetes'; below `sku` also `name`.
_WORDS = frozenset(
    re.findall(
        r"\S+",
        "allocationmethod api-version apiversion code createdbytype currentkubernetesversion "
        "currentorchestratorversion "
        "datatype effect family kind kubernetesversion lastmodifiedbytype loadbalancersku location mode "
        "networkdataplane "
        "networkplugin networkpluginmode networkpolicy nodeimageversion nodeosupgradechannel orchestratorversion ossku "
        "ostype outboundtype phase principaltype provisioningstate publicipaddressversion publicipallocationmethod "
        "publicnetworkaccess reason registrationstate resourcetype scaledownmode size state status supportplan tier "
        "type vmsize zoneredundancy",
    )
)
_A_WORD = re.compile(r"[A-Za-z0-9]{1,40}([./ _:-][A-Za-z0-9]{1,40}){0,6}")
_RANDOM = re.compile(r"[A-Za-z]*\d[A-Za-z]*\d[A-Za-z0-9]{14,}|[A-Fa-f0-9]{16,}|[A-Za-z0-9]{33,}")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)?")
_GUID = re.compile(r"[0-9a-fA-F]{8}-([0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")
_A_KEY = re.compile(r"[$A-Za-z_][\w.$-]{0,63}")
# Below these, keys are somebody's own words.
_OWN_KEYS = frozenset(
    re.findall(
        r"\S+",
        "annotations binarydata config data headers labels limits matchlabels nodelabels nodeselector parameters "
        "requests stringdata tags userassignedidentities",
    )
)
# Without what tells nothing: who set which field of an object in Kubernetes.
_LEFT_OUT = frozenset({"managedfields", "fieldsv1"})
# Of Azure's sentences only plain words stay: names, IDs, addresses and keys are never just letters.
_PLAIN = re.compile(r"[A-Za-z]{1,16}[.,:;]?")
_SENTENCES = frozenset({"message", "error_description", "description"})
# Names that everybody has.
_COMMON = frozenset({"default", "endpoints", "kube-system", "kube-public", "current"})
_HEADERS = frozenset({"content-type", "retry-after", "x-ms-failure-cause", "x-ms-error-code"})


class Redaction:
    """Stand-ins of one recording: what is the same stays the same."""

    def __init__(self, endpoint: str) -> None:
        self._arm = urlsplit(endpoint).netloc.casefold()
        self._known: dict[tuple[str, str], int] = {}

    def body(self, value: Any, field: str = "", above: str = "") -> Any:
        """A body without texts that aren't Azure's own words.

        Args:
            value: JSON.
            field: the key that it stands under.
            above: the key over that one.
        """
        if isinstance(value, dict):
            own = field.casefold() in _OWN_KEYS
            return {
                self.key(str(key), own=own): self.body(inner, "" if own else str(key), field)
                for key, inner in value.items()
                if str(key).casefold() not in _LEFT_OUT
            }
        if isinstance(value, list):
            return [self.body(inner, field, above) for inner in value]
        return self.text(value, field, above) if isinstance(value, str) else value

    def key(self, key: str, *, own: bool) -> str:
        """A key of an object: kept, unless it may be somebody's own word."""
        if key.startswith("/"):
            return self.path(key)
        return self._stand_in("key", key) if own or not _A_KEY.fullmatch(key) else key

    def text(self, text: str, field: str, above: str = "") -> str:
        """A text, or what stands for it."""
        name = field.casefold()
        if not text or _TIME.fullmatch(text):
            return text
        if _GUID.fullmatch(text):
            return self._guid(text)
        if text.startswith(("/subscriptions/", "/providers/")):
            return self.path(text)
        if text.startswith("https://"):
            return self.url(text)
        if name in _SENTENCES:
            return " ".join(word if _PLAIN.fullmatch(word) else "..." for word in text.split())
        is_word = name in _WORDS or (name == "name" and above.casefold() == "sku")
        if is_word and len(text) <= 80 and _A_WORD.fullmatch(text) and not _RANDOM.search(text):
            return text
        return self._stand_in("text", text)

    def path(self, path: str) -> str:
        """A path of ARM's or of Kubernetes': types stay, names don't."""
        parts = [unquote(part) for part in path.strip("/").split("/")]
        # The version of Kubernetes' API, and the group before it.
        ahead = {"api": 2, "apis": 3}.get(parts[0], 0)
        found = [part if re.fullmatch(r"[\w.-]{1,80}", part) else self._name(part) for part in parts[:ahead]]
        comes = "type"
        before = ""
        for part in parts[ahead:]:
            if comes == "type":
                found.append(part if re.fullmatch(r"[A-Za-z]{1,60}", part) else self._name(part))
                comes = "namespace" if part.casefold() == "providers" else "name"
            elif comes == "namespace":
                found.append(part if re.fullmatch(r"[A-Za-z.]{1,60}", part) else self._name(part))
                comes = "type"
            else:
                is_region = before == "locations" and re.fullmatch(r"[A-Za-z0-9 ]{1,30}", part)
                found.append(part if is_region else self._name(part))
                comes = "type"
            before = part.casefold()
        return "/" + "/".join(found)

    def url(self, url: str) -> str:
        """A URL: of ARM's the path and the names of the query, of others nothing."""
        parts = urlsplit(url)
        host = parts.netloc.casefold()
        if host != self._arm and not host.endswith(f".{self._arm}"):
            return f"https://{self._stand_in('host', host)}/"
        return f"https://management{self.path(parts.path)}{self.query(parts.query)}"

    def query(self, query: str) -> str:
        """The query of a URL: names, and the API version."""
        named = [
            (key, value if key == "api-version" and re.fullmatch(r"[\w-]{1,24}", value) else "...")
            for key, value in parse_qsl(query, keep_blank_values=True)
        ]
        return (
            "?" + "&".join(f"{key}={value}" for key, value in named if _A_KEY.fullmatch(key)) if named else ""
        )

    def headers(self, headers: Mapping[str, str]) -> dict[str, str]:
        """Headers: all names; a value where it is a word, a number or a URL of ARM's."""
        return {key.casefold(): self._header(key.casefold(), value) for key, value in headers.items()}

    def _header(self, name: str, value: str) -> str:
        if value.startswith("https://"):
            return self.url(value)
        if name in _HEADERS and re.fullmatch(r"[\w/;=. +-]{1,60}", value) and not _RANDOM.search(value):
            return value
        return "number" if re.fullmatch(r"\d{1,9}", value) else "text"

    def _name(self, name: str) -> str:
        if name.casefold() in _COMMON:
            return name
        return self._guid(name) if _GUID.fullmatch(name) else self._stand_in("name", name)

    def _guid(self, guid: str) -> str:
        return f"00000000-0000-0000-0000-{self._number('guid', guid):012}"

    def _stand_in(self, kind: str, text: str) -> str:
        return f"{kind}-{self._number(kind, text)}"

    def _number(self, kind: str, text: str) -> int:
        return self._known.setdefault((kind, text.casefold()), len(self._known) + 1)
