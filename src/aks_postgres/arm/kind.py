"""What is known of one type of Azure resource, said once: writing, reading, deleting and judging it derive from it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from typing import Any

from aks_postgres.arm.client import Azure
from aks_postgres.arm.diff import Decision, decide
from aks_postgres.arm.resource import ArmResource, arm_resource
from aks_postgres.arm.responses import Json
from aks_postgres.reports.plan_view import Chapter
from aks_postgres.spec.names import Names


def names_in(resource_id: str) -> tuple[str, ...]:
    """Group and names, as most operations take them: `.../resourceGroups/g/providers/NS/a/x/b/y` is g, x, y."""
    parts = resource_id.split("/")
    # "", subscriptions, its ID, resourceGroups, the group, providers, the namespace, and then types and names.
    return (parts[4], *parts[8::2])


def whole_id(resource_id: str) -> tuple[str, ...]:
    """The ID, as operations by ID take it."""
    return (resource_id.lstrip("/"),)


def scope_and_name(resource_id: str) -> tuple[str, ...]:
    """The resource that this one extends, and its name."""
    scope, _, own = resource_id.rpartition("/providers/")
    return (scope.lstrip("/"), own.rpartition("/")[2])


def _nothing(_names: Names, _region: str) -> Iterable[str]:
    return ()


@dataclass(frozen=True)
class Kind:
    """One type of Azure resource.

    How it is called:

    Args:
        type: as ARM names it, such as `Microsoft.Dashboard/grafana`.
        word: as messages and receipts name it, such as `Managed Grafana`.
        chapter: of the plan.
        plan_word: as plans name it, if not by `word`.

    How it is reached, by the SDK client's operations:

        operations: the group of operations.
        get, put, update, delete: their names; without `update` the whole resource is sent, and without `delete` it goes
            with something else. `update` is a PATCH for all that is ours, as with what has nothing of ours but tags.
        retag: the name of a PATCH that takes tags only; with any other change the whole resource is sent. Neither of
            the two have clusters and pools, whose ETag belongs to the whole, rule groups, which go by their ID, and
            what has no tags of ours.
        key: what these take first, from the resource's ID.
        api_version: for operations by ID.
        read_version: the API version to read it by its ID, where its own SDK client takes long to import: a run that
            writes nothing does without it.
        if_match: whether writes and deletions say which version they are about.
        waits: whether its deletion waits for other operations on it.
        abort: the command that ends what Azure is doing to it, given its ID and that, where Azure has one.
        create_s, delete_s: how long these usually take, in Azure seconds.
        create_deadline_s, delete_deadline_s: when to stop waiting.

    How it is judged:

        immutable: what Azure can't change in place.
        way_out: of a refusal because of these.
        is_foundation: whether it may be made before there is a lock: nothing in it can be lost.
        is_regional: whether the region must have it.
        brings: what happens beside its creation, Azure's doing first; for plans.
        owned: its names in an environment's own group, where it has tags.
        step: for which step `read` and `write` are needed.
        option: the same where an option of the spec alone needs them.
        reads: the same for `read`, if another.
        removal: for what `delete` is needed in a tear-down; empty where none deletes it.
        removal_linked: further actions of a tear-down, and for what.
        linked: further actions, and for what.
        permission: the type in actions, if another.
    """

    type: str
    word: str
    chapter: Chapter
    operations: Callable[[Azure], Any]
    plan_word: str = ""
    get: str = "get"
    put: str = "create_or_update"
    update: str = ""
    retag: str = ""
    delete: str = ""
    key: Callable[[str], tuple[str, ...]] = names_in
    api_version: str = ""
    read_version: str = ""
    if_match: bool = False
    waits: bool = True
    abort: Callable[[str, str], str] | None = None
    create_s: float = 2
    create_deadline_s: float = 600
    delete_s: float = 2
    delete_deadline_s: float = 600
    immutable: tuple[str, ...] = ("location",)
    way_out: str = "Rebuild the environment, or change the spec back."
    is_foundation: bool = False
    is_regional: bool = False
    brings: tuple[str, ...] = ()
    owned: Callable[[Names, str], Iterable[str]] = _nothing
    step: str = ""
    option: str = ""
    reads: str = ""
    removal: str = ""
    removal_linked: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    linked: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    permission: str = ""

    def label(self, name: str) -> str:
        """Return how messages call one of that name."""
        return f"{self.word} {name}"

    def at(self, azure: Azure, resource_id: str, *, label: str = "", **other: Any) -> ArmResource:
        """The resource of that ID, to be written.

        Args:
            azure: the connection to Azure.
            resource_id: its ARM ID.
            label: as messages call it, if not by word and name.
            other: for `arm_resource`, instead of what is said here; operations also by their names.
        """
        other.setdefault("expected_s", self.create_s)
        other.setdefault("deadline_s", self.create_deadline_s)
        label = label or self.label(resource_id.rsplit("/", 1)[-1])
        return self._described(azure, label, resource_id, **other)

    def gone(self, azure: Azure, resource_id: str, *, word: str = "") -> ArmResource:
        """The resource of that ID, to be deleted, or to be waited for until it is gone.

        Args:
            azure: the connection to Azure.
            resource_id: its ARM ID.
            word: as messages and receipts call it, if not by the kind's word.
        """
        word = word or self.word
        return self._described(
            azure,
            f"{word} {resource_id.rsplit('/', 1)[-1]}",
            resource_id,
            word=word,
            expected_s=self.delete_s,
            deadline_s=self.delete_deadline_s,
        )

    def _described(self, azure: Azure, label: str, resource_id: str, **other: Any) -> ArmResource:
        def operation(name: str) -> Any:
            given = other.pop(name, getattr(self, name))
            return self._operation(azure, given) if isinstance(given, str) and given else given or None

        if self.read_version:
            other.setdefault("get", self._by_id(azure, resource_id))
        get, put, update, retag, delete = map(operation, ("get", "put", "update", "retag", "delete"))
        options = {
            "word": self.word,
            "if_match": self.if_match,
            "waits": self.waits,
            "abort": partial(self.abort, resource_id) if self.abort else None,
            "is_foundation": self.is_foundation,
            **({"api_version": self.api_version} if self.api_version else {}),
            **other,
        }
        return arm_resource(
            azure,
            label,
            resource_id,
            get,
            put,
            *self.key(resource_id),
            update=update,
            retag=retag,
            model_of=lambda: getattr(self.operations(azure), self.get),
            delete=delete,
            **options,
        )

    def _operation(self, azure: Azure, name: str) -> Callable[..., Awaitable[Any]]:
        """The operation of that name; where it may stay unused, its SDK client is imported when it is called."""
        if not self.read_version:
            return getattr(self.operations(azure), name)  # type: ignore[no-any-return]

        async def later(*arguments: Any, **options: Any) -> Any:
            return await getattr(self.operations(azure), name)(*arguments, **options)

        later.__name__ = name
        return later

    def _by_id(self, azure: Azure, resource_id: str) -> Callable[..., Awaitable[Any]]:
        async def get(*_names: str, **options: Any) -> Any:
            return await azure.resources.resources.get_by_id(
                *whole_id(resource_id), api_version=self.read_version, **options
            )

        return get

    def decide(
        self, label: str, wanted: Json, live: Json | None, *, only_at_creation: Json | None = None
    ) -> Decision:
        """Return what to do about a resource, given what is wanted; as `arm.diff.decide`.

        Raises:
            ImmutableChange: what Azure can't change in place differs.
        """
        return decide(
            label,
            wanted,
            live,
            only_at_creation=only_at_creation,
            immutable=self.immutable,
            way_out=self.way_out,
        )


def by_id(kind: str, word: str, chapter: Chapter, api_version: str, **other: Any) -> Kind:
    """A type whose own SDK client isn't worth its import, reached by its ID."""
    return Kind(
        kind,
        word,
        chapter,
        lambda azure: azure.resources.resources,
        get="get_by_id",
        put="begin_create_or_update_by_id",
        delete="begin_delete_by_id",
        key=whole_id,
        api_version=api_version,
        **other,
    )
