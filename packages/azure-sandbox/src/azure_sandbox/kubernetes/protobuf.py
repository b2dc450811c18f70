"""Bodies in Kubernetes' protobuf encoding, for the types that clients send that way.

kubectl sends it for `create namespace`, Helm for its release Secrets, `create deployment` a small
Deployment. Answers are always JSON, which those clients accept too. Encoding:
https://kubernetes.io/docs/reference/using-api/api-concepts/#protobuf-encoding; field numbers: the
`generated.proto` files of https://github.com/kubernetes/api and https://github.com/kubernetes/apimachinery.
"""

import base64
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

from azure_sandbox.kubernetes import errors

Json = dict[str, Any]
Raw = int | bytes
Message = dict[int, tuple[str, "Reader"]]
Reader = Callable[[Raw], Any]

CONTENT_TYPE = "application/vnd.kubernetes.protobuf"
_MAGIC = b"k8s\x00"


def decode(content: bytes) -> Json:
    """The object in a body.

    Raises:
        ApiError: 400 when it isn't Kubernetes protobuf, 415 for a type that isn't known here.
    """
    if not content.startswith(_MAGIC):
        raise errors.bad_request(
            "provided data does not appear to be a protobuf message, expected prefix k8s"
        )
    try:
        envelope = dict(_fields(content[len(_MAGIC) :]))
        type_meta = dict(_fields(_bytes(envelope[1])))
        api_version, kind = _text(type_meta.get(1, b"")), _text(type_meta.get(2, b""))
        message = _KINDS.get(kind)
        if message is None:
            raise errors.ApiError(
                415,
                "UnsupportedMediaType",
                f"the sandbox reads {kind} as JSON or YAML only, not as protobuf",
            )
        body: Json = _read(_bytes(envelope.get(2, b"")), message)
    except _Unknown as error:
        raise errors.ApiError(
            415,
            "UnsupportedMediaType",
            f"the sandbox doesn't read this {kind} as protobuf, only as JSON or YAML: {error}",
        ) from error
    except (KeyError, IndexError, ValueError, TypeError) as error:
        raise errors.bad_request(f"unable to decode protobuf: {error!r}") from error
    return {"apiVersion": api_version, "kind": kind, **body}


def _fields(content: bytes) -> Iterator[tuple[int, Raw]]:
    at = 0
    while at < len(content):
        tag, at = _varint(content, at)
        number, wire = tag >> 3, tag & 7
        if wire == 0:
            value, at = _varint(content, at)
            yield number, value
        elif wire == 2:
            size, at = _varint(content, at)
            if at + size > len(content):
                raise ValueError("unexpected end of the message")
            yield number, content[at : at + size]
            at += size
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
            yield number, content[at : at + size]
            at += size
        else:
            raise ValueError(f"wire type {wire}")


def _varint(content: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = content[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return value, at
        shift += 7


def _read(content: bytes, message: Message) -> Json:
    found: Json = {}
    for number, raw in _fields(content):
        if number not in message:
            raise _Unknown(
                f"it has field {number} of a message with {', '.join(name for name, _ in message.values())}"
            )
        name, reader = message[number]
        value = reader(raw)
        if isinstance(value, _Repeated):
            found.setdefault(name, []).append(value.value)
        elif isinstance(value, _Entry):
            found.setdefault(name, {})[value.key] = value.value
        elif value not in ("", {}, None):
            found[name] = value
    return found


class _Unknown(Exception):
    """A field that isn't in the tables below."""


class _Repeated:
    def __init__(self, value: Any) -> None:
        self.value = value


class _Entry:
    def __init__(self, key: str, value: Any) -> None:
        self.key = key
        self.value = value


def _bytes(raw: Raw) -> bytes:
    if not isinstance(raw, bytes):
        raise TypeError("bytes expected")
    return raw


def _text(raw: Raw) -> str:
    return _bytes(raw).decode()


def _base64(raw: Raw) -> str:
    return base64.b64encode(_bytes(raw)).decode()


def _number(raw: Raw) -> int:
    if not isinstance(raw, int):
        raise TypeError("a number expected")
    return raw - (1 << 64) if raw >= 1 << 63 else raw


def _flag(raw: Raw) -> bool:
    return bool(_number(raw))


def _number_if_set(raw: Raw) -> int | None:
    return _number(raw) or None


def _flag_if_set(raw: Raw) -> bool | None:
    return _flag(raw) or None


def _ignored(raw: Raw) -> None:
    del raw


def _time(raw: Raw) -> str | None:
    seconds = dict(_fields(_bytes(raw))).get(1)
    if not isinstance(seconds, int) or seconds >= 1 << 63:  # Go's zero time: not set
        return None
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _message(message: Message) -> Reader:
    return lambda raw: _read(_bytes(raw), message)


def _repeated(reader: Reader) -> Reader:
    return lambda raw: _Repeated(reader(raw))


def _map(reader: Reader) -> Reader:
    def read(raw: Raw) -> _Entry:
        entry = dict(_fields(_bytes(raw)))
        return _Entry(_text(entry.get(1, b"")), reader(entry.get(2, b"")))

    return read


def _raw_json(raw: Raw) -> Any:
    return json.loads(_bytes(dict(_fields(_bytes(raw)))[1]))


_OWNER: Message = {
    1: ("kind", _text),
    3: ("name", _text),
    4: ("uid", _text),
    5: ("apiVersion", _text),
    6: ("controller", _flag),
    7: ("blockOwnerDeletion", _flag),
}
_MANAGED: Message = {
    1: ("manager", _text),
    2: ("operation", _text),
    3: ("apiVersion", _text),
    4: ("time", _time),
    6: ("fieldsType", _text),
    7: ("fieldsV1", _raw_json),
    8: ("subresource", _text),
}
_METADATA: Message = {
    1: ("name", _text),
    2: ("generateName", _text),
    3: ("namespace", _text),
    4: ("selfLink", _text),
    5: ("uid", _text),
    6: ("resourceVersion", _text),
    7: ("generation", _number),
    8: ("creationTimestamp", _time),
    9: ("deletionTimestamp", _time),
    10: ("deletionGracePeriodSeconds", _number),
    11: ("labels", _map(_text)),
    12: ("annotations", _map(_text)),
    13: ("ownerReferences", _repeated(_message(_OWNER))),
    14: ("finalizers", _repeated(_text)),
    17: ("managedFields", _repeated(_message(_MANAGED))),
}
_REFERENCE: Message = {
    1: ("kind", _text),
    2: ("namespace", _text),
    3: ("name", _text),
    4: ("uid", _text),
    5: ("apiVersion", _text),
}
_RESOURCE_ACCESS: Message = {
    number: (name, _text)
    for number, name in enumerate(
        ("namespace", "verb", "group", "version", "resource", "subresource", "name"), start=1
    )
}
_ACCESS: Message = {
    1: ("resourceAttributes", _message(_RESOURCE_ACCESS)),
    2: ("nonResourceAttributes", _message({1: ("path", _text), 2: ("verb", _text)})),
}
# Of a Deployment, what `kubectl create deployment` can say.
_PORT: Message = {
    1: ("name", _text),
    2: ("hostPort", _number_if_set),
    3: ("containerPort", _number),
    4: ("protocol", _text),
    5: ("hostIP", _text),
}
_CONTAINER: Message = {
    1: ("name", _text),
    2: ("image", _text),
    3: ("command", _repeated(_text)),
    4: ("args", _repeated(_text)),
    5: ("workingDir", _text),
    6: ("ports", _repeated(_message(_PORT))),
    8: ("resources", _message({})),
    13: ("terminationMessagePath", _text),
    14: ("imagePullPolicy", _text),
    16: ("stdin", _flag_if_set),
    17: ("stdinOnce", _flag_if_set),
    18: ("tty", _flag_if_set),
    20: ("terminationMessagePolicy", _text),
}
_POD_SPEC: Message = {
    2: ("containers", _repeated(_message(_CONTAINER))),
    3: ("restartPolicy", _text),
    6: ("dnsPolicy", _text),
    8: ("serviceAccountName", _text),
    9: ("serviceAccount", _text),
    10: ("nodeName", _text),
    11: ("hostNetwork", _flag_if_set),
    12: ("hostPID", _flag_if_set),
    13: ("hostIPC", _flag_if_set),
    16: ("hostname", _text),
    17: ("subdomain", _text),
    19: ("schedulerName", _text),
    24: ("priorityClassName", _text),
}
_DEPLOYMENT: Message = {
    1: ("replicas", _number),
    2: ("selector", _message({1: ("matchLabels", _map(_text))})),
    3: ("template", _message({1: ("metadata", _message(_METADATA)), 2: ("spec", _message(_POD_SPEC))})),
    4: ("strategy", _message({1: ("type", _text)})),
    5: ("minReadySeconds", _number_if_set),
    7: ("paused", _flag_if_set),
}
_KINDS: dict[str, Message] = {
    "Namespace": {
        1: ("metadata", _message(_METADATA)),
        2: ("spec", _message({1: ("finalizers", _repeated(_text))})),
        3: ("status", _message({1: ("phase", _text)})),
    },
    "Secret": {
        1: ("metadata", _message(_METADATA)),
        2: ("data", _map(_base64)),
        3: ("type", _text),
        4: ("stringData", _map(_text)),
        5: ("immutable", _flag),
    },
    "ConfigMap": {
        1: ("metadata", _message(_METADATA)),
        2: ("data", _map(_text)),
        3: ("binaryData", _map(_base64)),
        4: ("immutable", _flag),
    },
    "ServiceAccount": {
        1: ("metadata", _message(_METADATA)),
        2: ("secrets", _repeated(_message(_REFERENCE))),
        3: ("imagePullSecrets", _repeated(_message({1: ("name", _text)}))),
        4: ("automountServiceAccountToken", _flag),
    },
    "SelfSubjectAccessReview": {
        1: ("metadata", _message(_METADATA)),
        2: ("spec", _message(_ACCESS)),
        3: ("status", _ignored),
    },
    "Deployment": {
        1: ("metadata", _message(_METADATA)),
        2: ("spec", _message(_DEPLOYMENT)),
        3: ("status", _ignored),
    },
    # What `kubectl create token` sends: authentication/v1/generated.proto.
    "TokenRequest": {
        1: ("metadata", _message(_METADATA)),
        2: (
            "spec",
            _message(
                {
                    1: ("audiences", _repeated(_text)),
                    3: (
                        "boundObjectRef",
                        _message(
                            {
                                1: ("kind", _text),
                                2: ("apiVersion", _text),
                                3: ("name", _text),
                                4: ("uid", _text),
                            }
                        ),
                    ),
                    4: ("expirationSeconds", _number_if_set),
                }
            ),
        ),
        3: ("status", _ignored),
    },
    "DeleteOptions": {
        1: ("gracePeriodSeconds", _number),
        2: ("preconditions", _message({1: ("uid", _text), 2: ("resourceVersion", _text)})),
        3: ("orphanDependents", _flag),
        4: ("propagationPolicy", _text),
        5: ("dryRun", _repeated(_text)),
    },
}
