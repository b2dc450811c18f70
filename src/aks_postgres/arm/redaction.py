"""What a recording keeps of an exchange: its shape, and words that are Azure's own; never a text of yours.

Nothing is kept because it looks harmless: a text stays only where its field holds a word of Azure's or Kubernetes', and
has the form of one. Every other text becomes `text-1`, `text-2`..., the same for the same text; IDs keep their types.
Of messages, keys and types only words that are known stay (`arm.vocabulary`); where keys are somebody's own, none does.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from aks_postgres.arm.vocabulary import FIELDS, OTHER_FIELDS, PARTS, SAID, TYPES

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
_OF_A_QUERY = re.compile(r"[$A-Za-z_][\w.$-]{0,63}")
_SEVERAL_WORDS = re.compile(r"[A-Za-z][a-z0-9]*[A-Z][A-Za-z0-9]*")
_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
# Below these, keys are somebody's own words.
_OWN_KEYS = frozenset(
    re.findall(
        r"\S+",
        "allocationtags annotations binarydata cannotreconcile config connectionparameters customproperties data "
        "deprecatedtopology disruptedpods expirations externalclustersecretversion headers historytags "
        "instancesreportedstate labels limits managedrolesecretversion matchlabels nodelabels nodeselector "
        "parameters passwordstatus requests serverrecoverywindow streamdeclarations stringdata tablespaceclassname "
        "tablespacestorage tagmap tags userannotations userassignedidentities volumeattributes webhookproperties",
    )
)
# Fields with such keys below this one alone; elsewhere theirs are fields.
_OWN_KEYS_BELOW = frozenset(
    {
        ("configmapresourceversion", "metrics"),
        ("properties", "metadata"),
        ("secretsresourceversion", "metrics"),
        ("spec", "selector"),
        ("topology", "instances"),
    }
)
_OF_A_SELECTOR = frozenset({"matchlabels", "matchexpressions"})
# Without what tells nothing: who set which field of an object in Kubernetes.
_LEFT_OUT = frozenset({"managedfields", "fieldsv1"})
# What stands in quotation marks, or a word with what sticks to it.
_TOKEN = re.compile(r"""(?<!\w)(['"`])([^'"`]*)\1(?!\w)|(?:[^\s'"`]|(?<=\w)'(?=\w))+""")
_AROUND = "()[]{}<>.,:;!?= "
_SENTENCES = frozenset({"message", "error_description", "description"})
# Names that everybody has.
_COMMON = frozenset({"default", "endpoints", "kube-system", "kube-public", "current"})
_HEADERS = frozenset({"content-type", "retry-after", "x-ms-failure-cause", "x-ms-error-code"})


class Redaction:
    """Stand-ins of one recording: what is the same stays the same."""

    def __init__(self, endpoint: str) -> None:
        self._arm = urlsplit(endpoint).netloc.casefold()
        self._known: dict[tuple[str, str], int] = {}
        # Names met so far, which stay in no message, whatever they are.
        self._names: set[str] = set()

    def learn(self, names: Iterable[str]) -> None:
        """Let no message keep these, whatever they are."""
        self._names |= {name.casefold() for name in names}

    def body(self, value: Any, field: str = "", above: str = "") -> Any:
        """A body without texts that aren't Azure's own words.

        Args:
            value: JSON.
            field: the key that it stands under.
            above: the key over that one.
        """
        if isinstance(value, dict):
            own = _has_own_keys(field.casefold(), above.casefold(), value)
            return {
                self.key(str(key), own=own): self.body(inner, _below(field, str(key), own=own), field)
                for key, inner in value.items()
                if str(key).casefold() not in _LEFT_OUT
            }
        if isinstance(value, list):
            return [self.body(inner, field, above) for inner in value]
        return self.text(value, field, above) if isinstance(value, str) else value

    def key(self, key: str, *, own: bool) -> str:
        """A key of an object: kept where it is the name of a field that is known."""
        if key.startswith("/"):
            return self.path(key)
        return key if not own and is_field(key) else self._stand_in("key", key)

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
            return self.message(text)
        is_word = name in _WORDS or (name == "name" and above.casefold() == "sku")
        # One word of small letters is what a name looks like; a region is one, too.
        is_plain = re.fullmatch(r"[a-z]+", text) and name != "location"
        if is_word and len(text) <= 80 and _A_WORD.fullmatch(text) and not _RANDOM.search(text):
            return self._stand_in("text", text) if is_plain and not _is_known(text) else text
        return self._stand_in("text", text)

    def message(self, text: str) -> str:
        """A sentence of Azure's: the words that are known stay, each other is the same stand-in wherever it stands."""
        return _TOKEN.sub(self._said, text)

    def _said(self, found: re.Match[str]) -> str:
        word = (found[2] if found[1] else found[0]).strip(_AROUND)
        if not word:
            return found[0]
        return found[0].replace(word, self._said_word(word, is_quoted=bool(found[1])), 1)

    def _said_word(self, word: str, *, is_quoted: bool) -> str:
        if word.startswith(("/subscriptions/", "/providers/")):
            return self.path(word)
        if word.startswith("https://"):
            return self.url(word)
        if _GUID.fullmatch(word):
            return self._guid(word)
        folded = word.casefold().removesuffix("'s")
        # A code or a kind may be a name just as well, where it stands in quotation marks.
        is_known = _is_action(word) or (
            (_is_several(word) and word[0].islower()) if is_quoted else (_is_several(word) or folded in SAID)
        )
        return word if is_known and folded not in self._names else self._stand_in("name", word)

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
                found.append(part if part.casefold() in TYPES or _is_several(part) else self._name(part))
                comes = "namespace" if part.casefold() == "providers" else "name"
            elif comes == "namespace":
                found.append(
                    part if re.fullmatch(r"[A-Za-z]{1,30}(\.[A-Za-z]{1,30})+", part) else self._name(part)
                )
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
            "?" + "&".join(f"{key}={value}" for key, value in named if _OF_A_QUERY.fullmatch(key))
            if named
            else ""
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
        self._names.add(name.casefold())
        return self._guid(name) if _GUID.fullmatch(name) else self._stand_in("name", name)

    def _guid(self, guid: str) -> str:
        return f"00000000-0000-0000-0000-{self._number('guid', guid):012}"

    def _stand_in(self, kind: str, text: str) -> str:
        return f"{kind}-{self._number(kind, text)}"

    def _number(self, kind: str, text: str) -> int:
        return self._known.setdefault((kind, text.casefold()), len(self._known) + 1)


def is_field(key: str) -> bool:
    """Whether this is the name of a field of Azure's, Kubernetes' or CloudNativePG's API, or made like one of them."""
    return key in OTHER_FIELDS or key.casefold() in FIELDS or _is_several(key)


def _is_several(text: str) -> bool:
    """Whether this is several known words in one, as names of fields and error codes are."""
    if not _SEVERAL_WORDS.fullmatch(text):
        return False
    return all(part.casefold() in PARTS or part.casefold() in SAID for part in _PART.findall(text))


def _is_known(word: str) -> bool:
    return word in FIELDS or word in SAID or word in TYPES


def _is_action(text: str) -> bool:
    """Whether this is a type of ARM's, or what may be done with one, such as Microsoft.Storage/storageAccounts/read."""
    first, *others = text.casefold().split("/")
    return bool(others and re.fullmatch(r"microsoft\.[a-z]+", first)) and all(
        part in TYPES or part in SAID for part in others
    )


def _has_own_keys(field: str, above: str, value: Mapping[str, Any]) -> bool:
    if field == "selector" and any(key.casefold() in _OF_A_SELECTOR for key in value):
        return False
    return field in _OWN_KEYS or (above, field) in _OWN_KEYS_BELOW


def _below(field: str, key: str, *, own: bool) -> str:
    """Return the field that what is under a key counts as."""
    if not own:
        return key
    # Of a Cluster's topology: each instance with labels of its node.
    return "labels" if field.casefold() == "instances" else ""
