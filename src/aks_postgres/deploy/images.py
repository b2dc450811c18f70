"""Images by digest: a tag can be moved by whoever may push it, a digest is what was looked at.

Tags are resolved by the registries' HTTP API: https://distribution.github.io/distribution/spec/api/, with the anonymous
token that Docker Hub and others hand out. What isn't done here: a registry that asks who you are; give such an image
with its digest, which `docker push` prints.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import aiohttp
import yaml

from aks_postgres.exit_codes import CommandFailed, ExitCode
from aks_postgres.foreign_text import clean, printable
from aks_postgres.yaml_files import read_yaml

_REFERENCE = re.compile(
    r"(?P<repository>[a-z0-9][a-z0-9._:/-]*):(?P<tag>\w[\w.-]{0,127})(?:@(?P<digest>sha256:[0-9a-f]{64}))?"
)
_MEDIA_TYPES = ", ".join(
    (
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    )
)
# A manifest may have 4 MiB: https://distribution.github.io/distribution/spec/manifest-v2-2/
_LARGEST_BYTES = 4 * 1024 * 1024
_TIMEOUT = aiohttp.ClientTimeout(total=60)
_EXAMPLE = "registry.example.com/"


@dataclass(frozen=True)
class Image:
    """An image by repository and tag, and by digest once it is pinned."""

    repository: str
    tag: str
    digest: str | None = None

    @classmethod
    def of(cls, text: str) -> Image:
        """The image of a reference such as registry.example.com/aks-postgres:0.1.0@sha256:...

        Raises:
            CommandFailed: it has no tag, or a digest of another kind.
        """
        found = _REFERENCE.fullmatch(text)
        if found is None:
            raise CommandFailed(
                f"image {text!r}: repository:tag is expected, or repository:tag@sha256:... with 64 digits",
                ExitCode.BAD_INPUT,
            )
        return cls(**found.groupdict())

    @property
    def tagged(self) -> str:
        """Repository and tag."""
        return f"{self.repository}:{self.tag}"

    @property
    def reference(self) -> str:
        """What a file names: with its digest, if it has one."""
        return f"{self.repository}:{self._tag_and_digest}"

    @property
    def _tag_and_digest(self) -> str:
        return self.tag + (f"@{self.digest}" if self.digest else "")

    @property
    def registry(self) -> tuple[str, str]:
        """Address of its registry, and what the repository is called there; as Docker reads a reference."""
        host, slash, path = self.repository.partition("/")
        if slash and ("." in host or ":" in host or host == "localhost"):
            name = host.partition(":")[0]
            return f"{'http' if name in ('localhost', '127.0.0.1') else 'https'}://{host}", path
        path = self.repository if slash else f"library/{self.repository}"
        return "https://registry-1.docker.io", path


Images = dict[str, Image]


def read_images(file: Path) -> Images:
    """The images that the file lists, by what they are for."""
    listed = read_yaml(file, field="images.yaml")
    return {name: replace(Image.of(entry["image"]), digest=entry["digest"]) for name, entry in listed.items()}


def _line(key: str, value: str) -> Callable[[str], str]:
    """Sets the one line `key: value` of a YAML file, or of a part of it."""
    return lambda text: re.sub(rf"(?m)^(\s*{key}: ).*$", rf"\g<1>{value}", text)


def _named(image: Image, *, anywhere: bool = False) -> Callable[[str], str]:
    """Sets every mention of an image; `anywhere` also of the same name in another registry."""
    name = image.repository.rpartition("/")[2] if anywhere else image.repository
    before = r'(?<=")[\w.:/-]*' if anywhere else r"(?<![\w./-])"
    pattern = rf"{before}{re.escape(name)}:[\w.-]+(?:@sha256:[0-9a-f]+)?"
    return lambda text: re.sub(pattern, image.reference, text)


def changes(folder: Path, images: Images) -> dict[Path, str]:
    """The files whose text isn't what the images say, with the text wanted.

    Args:
        folder: of what is shipped.
        images: what it should name.
    """
    ours = images["ours"]
    edits: dict[str, list[Callable[[str], str]]] = {
        "Dockerfile": [_named(images["base"])],
        # Its own image is built beside it.
        "compose.yaml": [_named(images["database"])],
        "kubernetes/worker.yaml": [_named(images["worker"])],
        "kubernetes/base-job-template.json": [_named(ours, anywhere=True)],
        "kubernetes/prefect-server-values.yaml": [
            _line("repository", ours.repository),
            _line("prefectTag", ours.reference.removeprefix(f"{ours.repository}:")),
        ],
    }
    if not ours.repository.startswith(_EXAMPLE):
        edits["docker/base-job-template.json"] = [_named(ours, anywhere=True)]
    found = {}
    for name, steps in edits.items():
        before = text = (folder / name).read_text(encoding="utf-8")
        for step in steps:
            text = step(text)
        if text != before:
            found[folder / name] = text
    return found


def write_images(file: Path, images: Images) -> None:
    """Write tags and digests; the comment at the top stays."""
    text = file.read_text(encoding="utf-8")
    head = text[: text.index("\n\n") + 2]
    entries = {name: {"image": image.tagged, "digest": image.digest} for name, image in images.items()}
    file.write_text(head + yaml.safe_dump(entries, sort_keys=False), encoding="utf-8")


async def resolve(images: Images) -> Images:
    """The same images, each with the digest that its tag has in its registry now.

    Ours is asked for once it has a registry; with a digest that was given it stays as it is.

    Raises:
        CommandFailed: a registry can't be reached, doesn't have the tag, or its answer has another digest than it says.
    """

    async def one(name: str, image: Image) -> Image:
        if name == "ours" and (image.repository.startswith(_EXAMPLE) or image.digest):
            return image
        return replace(image, digest=await _digest(session, image))

    # A proxy comes from the environment, as with every other client.
    async with aiohttp.ClientSession(timeout=_TIMEOUT, trust_env=True) as session:
        found = await asyncio.gather(*(one(name, image) for name, image in images.items()))
    return dict(zip(images, found, strict=True))


async def _digest(session: aiohttp.ClientSession, image: Image) -> str:
    address, repository = image.registry
    url = f"{address}/v2/{repository}/manifests/{image.tag}"
    label = f"image {image.tagged}: {url}"
    headers = {"Accept": _MEDIA_TYPES}
    try:
        status, answered, body = await _get(session, url, headers)
        if status == 401:
            token = await _token(session, label, answered.get("WWW-Authenticate", ""))
            status, answered, body = await _get(session, url, headers | {"Authorization": f"Bearer {token}"})
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise CommandFailed(f"{label} can't be reached: {clean(f'{type(error).__name__} {error}')}") from None
    if status != 200:
        hint = {
            401: "Give an image of a registry that asks who you are with its digest",
            404: "It has no such tag",
        }.get(status, "Try again later")
        raise CommandFailed(f"{label} answered {status}. {hint}")
    digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
    said = answered.get("Docker-Content-Digest", digest)
    if said != digest:
        raise CommandFailed(
            f"{label} says it has the digest {printable(said[:80])}, and what came has {digest}. Don't use it"
        )
    return digest


async def _get(
    session: aiohttp.ClientSession, url: str, headers: dict[str, str], params: Mapping[str, str] | None = None
) -> tuple[int, Mapping[str, str], bytes]:
    # Redirects would take a token along to another host.
    async with session.get(url, headers=headers, params=params, allow_redirects=False) as response:
        body = await response.content.read(_LARGEST_BYTES + 1)
        while len(body) <= _LARGEST_BYTES and (more := await response.content.read(_LARGEST_BYTES)):
            body += more
        if len(body) > _LARGEST_BYTES:
            raise CommandFailed(
                f"{url} answered with more than {_LARGEST_BYTES} bytes, which no manifest has"
            )
        return response.status, response.headers, body


async def _token(session: aiohttp.ClientSession, label: str, challenge: str) -> str:
    """An anonymous token: https://distribution.github.io/distribution/spec/auth/token/."""
    given = dict(re.findall(r'(\w+)="([^"]*)"', challenge)) if challenge.startswith("Bearer ") else {}
    realm = given.get("realm", "")
    if not re.match(r"https://|http://(localhost|127\.0\.0\.1)[:/]", realm):
        raise CommandFailed(f"{label} wants to know who asks, and names no https address for a token")
    asked = {key: given[key] for key in ("service", "scope") if key in given}
    status, _, body = await _get(session, realm, {}, asked)
    try:
        answer = json.loads(body)
        token = answer.get("token") or answer.get("access_token")
    except (ValueError, AttributeError):
        token = None
    # A header takes no line breaks; a token has none.
    if status != 200 or not isinstance(token, str) or not token.isprintable():
        raise CommandFailed(
            f"{label} wants to know who asks, and {clean(realm)} gave no token (status {status})"
        )
    return token
