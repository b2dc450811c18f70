"""The lock on one environment: a lease decides who has it, a heartbeat tells that its holder lives.

The lease is ARM's own, on a container of the backup account: a real compare-and-swap, without end, under a GUID of the
run's own. The heartbeat is a tag on the backup group, with an end by ARM's clock. Whoever finds it overdue takes the
lease over; whoever comes back from a sleep renews the lease under its GUID before anything else, which fails once
another run has had it. Everything that is asked of the lock goes through the gate (`arm.gate`).

What a run has read before it has the lock may be over when it takes it. So from its start it watches whether it slept,
and it takes the lock for a write only if every group that it began with is still there.

While the account doesn't exist, the first run goes without a lock as far as it only makes what can't be lost. Where
there is something of the environment and no account, the tag alone is the lock: it is written, left alone for longer
than any other run's write can take, and read again. Such a run looks for the account at each of its writes, and takes
the lease before it goes on.

REST: https://learn.microsoft.com/rest/api/storagerp/blob-containers/lease,
https://learn.microsoft.com/rest/api/resources/tags/update-at-scope
"""

from __future__ import annotations

import asyncio
import json
import logging
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Literal

from aks_postgres.arm import clock
from aks_postgres.arm.client import Azure
from aks_postgres.arm.diff import state_of
from aks_postgres.arm.error_codes import rule_for
from aks_postgres.arm.errors import AzureUnavailable
from aks_postgres.arm.gate import WRITE_LIMIT_S, Elapsed, Write, purpose
from aks_postgres.arm.poll import LOCK, NotInTime, poll
from aks_postgres.arm.resource import sent
from aks_postgres.arm.responses import Answer, ArmFault, Json
from aks_postgres.arm.retry import refusal, send, with_retries
from aks_postgres.errors import ProvisioningError
from aks_postgres.limits import limits
from aks_postgres.reports.journal import journal
from aks_postgres.runs.errors import EnvironmentBusy

CONTAINER = "aks-postgres-lock"
HEARTBEAT = "aks-postgres-writer"

# Lock seconds (`clock.lock_scale`).
BEAT_S = 15
LIVES_S = 60
GOOD_FOR_S = 40
WATCH_S = 75
LOOK_S = 3
# Longer than any other run's write can take that began before ours.
SETTLE_S = WRITE_LIMIT_S + 1
# Clocks of Azure's front ends differ by seconds; a heartbeat that ends later than this was edited by hand.
_LATEST_END_S = LIVES_S + 30
# Versions before the lease: two minutes by the clock of the machine, which may be off.
_LATEST_OLD_END_S = 600
# Azure seconds: an account is made within half a minute, or its step says why not.
FOUNDED_WITHIN_S = 120
_AWAY_S = 600
_GOODBYE_S = 10

_DELETING = ("deleting", "deprovisioning")


@dataclass(frozen=True)
class Home:
    """Where a lock may be: a resource group, and the storage account in it that has the lease, if it has one."""

    group: str
    group_id: str
    account: str | None = None

    def is_in_group_of(self, other: Home) -> bool:
        """Return whether both are in one group."""
        return self.group.casefold() == other.group.casefold()


@dataclass
class _Seen:
    """A home as Azure shows it."""

    home: Home
    now: datetime
    heartbeat: str | None
    lease: str | None
    """`Available`, `Leased`, ...; None where there is no account yet."""


@dataclass(frozen=True)
class _Heartbeat:
    guid: str
    until: datetime
    writer: str
    latest_end_s: float

    @classmethod
    def read(cls, text: str) -> _Heartbeat | None:
        """Read the tag; also as versions before the lease wrote it: `<until> <server> <writer>`."""
        first, _, rest = text.partition(" ")
        second, _, writer = rest.partition(" ")
        try:
            guid, until, latest_s = str(uuid.UUID(first)), second, clock.lock_azure_s(_LATEST_END_S)
        except ValueError:
            guid, until, latest_s = "", first, float(_LATEST_OLD_END_S)
        try:
            end = datetime.fromisoformat(until)
        except ValueError:
            return None
        if end.tzinfo is None:
            return None
        return cls(guid, end, writer or "another run", latest_s)


@dataclass
class _Held:
    """A home that this run holds."""

    home: Home
    has_lease: bool
    let_go: bool = False
    has_beaten: bool = False
    """Whether the heartbeat of this run is there."""

    @property
    def lacks_lease(self) -> bool:
        """Whether only the heartbeat is the lock, and may be more."""
        return not self.has_lease and not self.let_go


@dataclass
class _Watched:
    """What looked the same since some moment."""

    text: str
    since: Elapsed = field(default_factory=Elapsed)


class WriteLock:
    """The lock on one environment, as one run waits for it, holds it or has lost it."""

    def __init__(
        self,
        azure: Azure,
        environment: str,
        writer: str,
        find_homes: Callable[[], Awaitable[Sequence[Home]]],
        find_groups: Callable[[], Awaitable[Sequence[Home]]],
        *,
        waits: bool,
    ) -> None:
        """Describe the lock; nothing is asked or written yet.

        Args:
            azure: the connection to Azure, which lives as long as the lock is held.
            environment: the environment's name and region, for messages.
            writer: which run this is, for whoever has to wait for it.
            find_homes: finds where leases are or will be, by computed names.
            find_groups: finds the environment's other resource groups, for when there is no account.
            waits: whether to wait for another run's end, or to refuse.
        """
        self.guid = str(uuid.uuid4())
        self._azure = azure
        self._environment = environment
        self._writer = writer[:150]
        self._find_homes = find_homes
        self._find_groups = find_groups
        self._waits = waits
        self._held: list[_Held] = []
        self._is_founding = False
        self._others = 0
        """How often others had the lock when this run wanted it: what was read before may be over."""
        self._groups: frozenset[str] = frozenset()
        """The environment's groups at the start, in small letters; none once the run has had the lock."""
        self._awake = Elapsed()
        self._sleeps, self._sleeps_known = 0, 0
        """How often this run has slept; and how often before it last knew that the lock was its own."""
        self._watch: asyncio.Task[None] | None = None
        self._good: Elapsed | None = None
        self._has_failed = False
        self._refused: ArmFault | None = None
        self._lost: EnvironmentBusy | None = None
        self._taking, self._beating = asyncio.Lock(), asyncio.Lock()
        self._watched: dict[str, _Watched] = {}
        self._left_behind: dict[str, str | None] = {}
        """By group, the heartbeat of a dead run that this one takes over from."""
        self._inside: asyncio.Task[Any] | None = None
        self._heart: asyncio.Task[None] | None = None
        self._listeners: list[Callable[[], None]] = []

    # --- what the gate asks ------------------------------------------------------------------------------------

    async def admit(self, write: Write) -> str:
        """Wait until it is certain that a write may go.

        Raises:
            EnvironmentBusy: another run writes, and isn't waited for, or has taken over.
            ArmFault: another run wrote meanwhile (`EnvironmentWasBusy`): look again before you write.
            AzureUnavailable: Azure couldn't be asked whether the lock is still ours.
        """
        self._refuse_lost()
        before = self._others
        if not self._held:
            if write.is_foundation and await self._nothing_to_lock():
                self._refuse_slept()
                return "a foundation, as there is nothing to lock yet"
            await self._secure_as_read()
            if not self._held and self._others == before:
                raise ArmFault(
                    404, "ResourceGroupNotFound", "there is nothing of the environment that could be locked"
                )
        async with self._taking:  # which may still have to find out whether another run took it, too
            if any(held.lacks_lease for held in self._held):
                await self._hold_what_came()
        self._refuse_lost()
        if self._others != before:
            raise ArmFault(409, "EnvironmentWasBusy", "another run wrote to the environment meanwhile")
        if not self._held:
            return await self.admit(write)

        async def is_certain() -> bool | None:
            self._refuse_lost()
            if not self._held:  # its group is gone, and with it the lock
                return False
            if self.left_s(write) > clock.lock_real_s(WRITE_LIMIT_S):
                return True
            await self._beat()
            return None

        try:
            certain = await poll(
                is_certain,
                every_s=lambda _: LOOK_S if self._has_failed else 0,
                deadline_s=_AWAY_S,
                timer=LOCK,
            )
        except NotInTime as late:
            raise AzureUnavailable(
                f"{self._environment}: whether this run may still write couldn't be asked for "
                f"{clock.lock_real_s(late.elapsed_s):.0f} s, so nothing more was sent. Run again to go on."
            ) from None
        return f"lease {self.guid}" if certain else await self.admit(write)

    def left_s(self, write: Write) -> float:
        """Real seconds for which the lock is certain to be ours; foundations may go without."""
        if not self._held and write.is_foundation:
            return clock.lock_real_s(GOOD_FOR_S) - self._awake.real_s()
        if self._good is None or self._lost is not None:
            return 0.0
        return clock.lock_real_s(GOOD_FOR_S) - self._good.real_s()

    def listen(self, callback: Callable[[], None]) -> None:
        """Call `callback` after every good heartbeat."""
        self._listeners.append(callback)

    def unlisten(self, callback: Callable[[], None]) -> None:
        """Stop calling it."""
        self._listeners.remove(callback)

    # --- what flows ask ----------------------------------------------------------------------------------------

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """End what is inside when the lock is lost, and give the lock back at the end."""
        self._inside = asyncio.current_task()
        try:
            yield
        except asyncio.CancelledError:
            if self._lost is not None and self._inside is not None:
                self._inside.uncancel()
                raise self._lost from None
            raise
        except ProvisioningError:
            await self._refuse_what_a_sleeper_found()
            raise
        finally:
            self._inside = None
            await self._give_back()

    async def holder(self) -> str | None:
        """Return who has the lock now, in words; None where nobody has. Nothing is waited for or written."""
        return next((who for seen in await self._survey() if (who := self._holder(seen))), None)

    async def wait_for_turn(self) -> None:
        """Wait until no other run writes; take the lock at once where a dead run has left it behind.

        Raises:
            EnvironmentBusy: another run writes, and isn't waited for.
        """
        _, has_remains = await self._until_free()
        self._groups = await self._groups_now()
        self._awake = Elapsed()
        self._watch = asyncio.create_task(self._stay_awake(), name=f"watch of {self._environment}")
        if has_remains:
            await self.secure()

    async def secure(self) -> bool:
        """Have the lock from now on.

        Returns:
            Whether another run had it meanwhile: what was read before may no longer be so.

        Raises:
            EnvironmentBusy: another run has it, and isn't waited for.
        """
        async with self._taking:
            self._refuse_lost()
            if self._held:
                return False
            await self._wait_for_account()
            waited = False

            async def is_taken() -> bool | None:
                nonlocal waited
                had_to_wait, _ = await self._until_free()
                waited = waited or had_to_wait
                if await self._take():
                    return True
                waited = True
                return None

            await poll(is_taken, every_s=LOOK_S, timer=LOCK)
            self._others += waited
            if not self._held:  # there is nothing to lock
                return waited
            self._is_founding = False
            self._heart = asyncio.create_task(self._keep_beating(), name=f"heartbeat of {self._environment}")
            return waited

    async def secure_new_homes(self) -> None:
        """Hold the leases of accounts that came since.

        Raises:
            EnvironmentBusy: another run has one of them.
        """
        if self._held:
            async with self._taking:
                await self._hold_what_came()
            await self._beat(even_if_good=True)
            self._refuse_lost()

    async def let_go(self, account: str) -> None:
        """Release the lease on an account that is to be deleted; the heartbeat goes on while its group is there."""
        async with self._taking:
            for held in self._held:
                if held.home.account == account and not held.let_go:
                    has_lease, held.has_lease, held.let_go = held.has_lease, False, True
                    if has_lease:
                        await self._lease(held.home, action="Release", leaseId=self.guid)

    # --- whether what was read still holds ---------------------------------------------------------------------

    async def _secure_as_read(self) -> None:
        """Have the lock for a write whose reasons were read without it.

        Raises:
            EnvironmentBusy: this run slept since, or another one has removed what it read.
        """
        self._refuse_slept()
        before = self._sleeps
        await self.secure()
        self._refuse_slept(before)
        read, self._groups = self._groups, frozenset()
        if read and (gone := read - await self._groups_now()):
            self._lost = EnvironmentBusy(
                f"{self._environment}: another run has removed {' and '.join(sorted(gone))} since this run looked. "
                "This run has stopped and writes nothing.",
                way_out="Run again.",
            )
            raise self._lost

    async def _groups_now(self) -> frozenset[str]:
        return frozenset(home.group.casefold() for home in await self._find_groups())

    async def _stay_awake(self) -> None:
        """Notice a sleep while there is no lock whose heartbeat would."""
        while self._lost is None:
            await asyncio.sleep(clock.lock_real_s(LOOK_S))
            self._sleeps += self._sleeps_now()
            self._awake = Elapsed()

    def _sleeps_now(self) -> bool:
        return self._awake.real_s() > clock.lock_real_s(GOOD_FOR_S)

    async def _refuse_what_a_sleeper_found(self) -> None:
        """Let nobody act on an error of a run that slept: it has seen one half before and the other one after."""
        self._inside = None  # it ends by itself
        if self._held:
            if self._good is None or self._good.real_s() > clock.lock_real_s(GOOD_FOR_S):
                await self._beat()
            self._refuse_lost()
        elif self._watch is not None:
            self._refuse_slept()

    def _refuse_slept(self, before: int | None = None) -> None:
        if self._sleeps_now() or self._sleeps > (self._sleeps_known if before is None else before):
            self._lost = EnvironmentBusy(
                f"{self._environment}: this run slept before it had the lock, so what it had read may be over. It has "
                "stopped and writes nothing more; what Azure has begun goes on.",
                way_out="Run again to go on from there.",
            )
        self._refuse_lost()

    # --- who has it --------------------------------------------------------------------------------------------

    async def _nothing_to_lock(self) -> bool:
        """Return whether there is nothing of the environment yet; once it was so, its first run founds it."""
        async with self._taking:
            if not self._held and not self._is_founding:
                self._is_founding = not await self._survey()
            return self._is_founding and not self._held

    async def _wait_for_account(self) -> None:
        """While this run founds the environment, its account is about to come."""
        if not self._is_founding:
            return

        async def is_there() -> bool | None:
            return True if any(seen.lease is not None for seen in await self._survey()) else None

        with suppress(NotInTime):
            await poll(is_there, every_s=LOOK_S, deadline_s=FOUNDED_WITHIN_S)

    async def _until_free(self) -> tuple[bool, bool]:
        """Wait until no other run has the lock; says whether that took time, and whether a dead run left it behind."""
        waiting, said = Elapsed(), ""

        async def remains() -> bool | None:
            nonlocal said
            every = await self._survey()
            holder = next((text for seen in every if (text := self._holder(seen))), None)
            if holder is None:
                return any(seen.heartbeat or seen.lease in ("Leased", "Breaking") for seen in every)
            if not self._waits:
                raise EnvironmentBusy(
                    f"{self._environment}: {holder} is writing to it. Nothing was written.",
                    way_out="Run again when it has ended, or say if_another_run: wait.",
                )
            if waiting.real_s() > limits.other_run_s:
                raise EnvironmentBusy(
                    f"{self._environment}: {holder} is writing to it, and was waited for "
                    f"{waiting.real_s() / 60:.0f} minutes. Nothing was written.",
                    way_out="Look at that run; when it has ended, run again.",
                )
            if holder != said:
                said = holder
                journal().note(
                    f"{self._environment}: waiting for {holder}, which is writing to it", logging.INFO
                )
            return None

        has_remains = await poll(remains, every_s=LOOK_S, timer=LOCK)
        return bool(said), has_remains

    def _holder(self, seen: _Seen) -> str | None:
        """Return who else has the lock and lives, as far as is known; None when it can be taken."""
        is_leased = seen.lease in ("Leased", "Breaking")
        beat = _Heartbeat.read(seen.heartbeat) if seen.heartbeat else None
        if beat is None and not is_leased:
            return None  # written by hand, or nothing at all
        if beat is not None:
            if beat.guid == self.guid:
                return None
            if beat.until <= seen.now:
                return None
            if beat.until <= seen.now + timedelta(seconds=beat.latest_end_s):
                return beat.writer
        # A lease without a readable heartbeat, or one that ends absurdly late: whoever lives writes it again soon.
        text = f"{seen.heartbeat}"
        watched = self._watched.get(seen.home.group)
        if watched is None or watched.text != text:
            watched = self._watched[seen.home.group] = _Watched(text)
        if watched.since.real_s() >= clock.lock_real_s(WATCH_S):
            return None
        return "another run, which left no readable heartbeat"

    async def _survey(self) -> list[_Seen]:
        """Every home that is there."""
        found = [seen for home in await self._find_homes() if (seen := await self._look(home))]
        # While it was founded without a lock, another run may have taken a group alone.
        if any(seen.lease is not None for seen in found) and not self._is_founding:
            return found
        known = {seen.home.group.casefold() for seen in found}
        others = [home for home in await self._find_groups() if home.group.casefold() not in known]
        return found + [seen for home in others if (seen := await self._look(home))]

    async def _look(self, home: Home) -> _Seen | None:
        async def attempt() -> _Seen | None:
            group = await _group(self._azure, home)
            if group is None:
                return None
            lease = None
            if home.account:
                lease = await _lease_state(self._azure, home, home.account)
            return _Seen(home, _date_of(group), _heartbeat_of(group), lease)

        return await with_retries(f"the lock on {self._environment}", attempt)

    # --- taking it ---------------------------------------------------------------------------------------------

    async def _take(self) -> bool:
        """Take the lock, which looked free, if there is anything to lock; False if another run was quicker."""
        every = await self._survey()
        if not every:
            return True
        if any(self._holder(seen) for seen in every):
            return False
        leased = [seen for seen in every if seen.lease is not None]
        is_certain = bool(leased)
        held = []
        for seen in leased:
            how = await self._take_lease(seen)
            if how == "refused":
                return False
            is_certain = is_certain and how == "certain"
            held.append(_Held(seen.home, has_lease=True))
        if not leased:
            held = [_Held(seen.home, has_lease=False) for seen in every[:1]]
        self._held, self._has_failed = held, False
        self._good = None
        self._left_behind = {seen.home.group: seen.heartbeat for seen in every}
        # Whoever is quicker is waited for, so that it ends nothing here.
        inside, self._inside = self._inside, None
        try:
            await self._beat(even_if_good=True)
            if not is_certain:
                # Another run that found it free at the same moment has written by then, and one of us sees the other.
                await asyncio.sleep(clock.lock_real_s(SETTLE_S))
                self._has_failed = True
                await self._beat(even_if_good=True)
                if self._lost is None and not leased and any(map(self._holder, await self._survey())):
                    # Whoever founds the environment has taken the lease of an account that came.
                    self._lose("another run", slept=False)
        finally:
            self._inside = inside
            if self._lost is not None or self._good is None:
                self._held = []
        if self._lost is not None:
            self._lost = None
            return False
        if self._good is None and self._refused is not None:
            # Kept, the lease would be a lock without a heartbeat, which this run itself would wait for.
            for home in held:
                if home.has_lease:
                    with suppress(ArmFault):
                        await _lease_once(self._azure, home.home, {"action": "Release", "leaseId": self.guid})
            raise refusal(f"the lock on {self._environment}", self._refused)
        return self._good is not None

    async def _take_lease(self, seen: _Seen) -> Literal["certain", "uncertain", "refused"]:
        home = seen.home
        if seen.lease not in ("Leased", "Breaking"):
            return "certain" if await self._take_free_lease(home) == "done" else "refused"
        beat = _Heartbeat.read(seen.heartbeat or "")
        if beat is not None and beat.guid:
            journal().note(f"{self._environment}: {beat.writer} has died or sleeps; taking over from it")
            # A compare-and-swap: of two that take over, one does.
            answer = await self._lease(home, action="Change", leaseId=beat.guid, proposedLeaseId=self.guid)
            if answer == "done":
                return "certain"
            if not self._is_watched_out(seen):
                return "refused"
        journal().note(f"{self._environment}: a lock without a heartbeat was left behind; breaking it")
        await self._lease(home, action="Break", breakPeriod=0)
        answer = await self._lease(home, action="Acquire", leaseDuration=-1, proposedLeaseId=self.guid)
        return "uncertain" if answer == "done" else "refused"

    async def _hold_what_came(self) -> None:
        """Hold homes, and take the leases of accounts, that weren't there when the lock was taken.

        Outside of any heartbeat, as an account that is still being made is waited for; but a lease counts only once a
        heartbeat has seen that nobody came and went before it was taken.
        """
        leased, came = [], False
        for home in await self._find_homes():
            held = next((holding for holding in self._held if holding.home.is_in_group_of(home)), None)
            if held is not None and not held.lacks_lease:
                continue
            if (seen := await self._look(home)) is None:
                continue
            if held is None:
                held, came = _Held(home, has_lease=False), True
                self._held.append(held)
            held.home = home
            if seen.lease is None:
                continue
            how = await self._take_free_lease(home)
            if how == "refused":
                self._lose("another run", slept=False)
                self._end_inside()
                break
            if how == "done":
                leased.append(held)
        if (came or leased) and self._lost is None:
            await self._beat(even_if_good=True)
        for held in leased:
            if self._lost is not None:
                with suppress(ArmFault, ProvisioningError):
                    await self._lease(held.home, action="Release", leaseId=self.guid)
            else:
                held.has_lease = not self._has_failed

    async def _take_free_lease(self, home: Home) -> Literal["done", "refused", "gone"]:
        """Take a lease that nobody has; whoever has it may not have written its heartbeat yet."""
        assert home.account is not None
        await _ensure_container(self._azure, home, home.account)
        return await self._lease(home, action="Acquire", leaseDuration=-1, proposedLeaseId=self.guid)

    def _is_watched_out(self, seen: _Seen) -> bool:
        """Return whether a lease under another GUID than its heartbeat's was looked at for long enough."""
        key = f"lease {seen.home.group}"
        watched = self._watched.get(key)
        if watched is None or watched.text != str(seen.heartbeat):
            watched = self._watched[key] = _Watched(str(seen.heartbeat))
        return watched.since.real_s() >= clock.lock_real_s(WATCH_S)

    async def _lease(self, home: Home, **body: Any) -> Literal["done", "refused", "gone"]:
        """One action on the lease; repeated where no answer came, as each can be."""

        async def attempt() -> Literal["done", "refused", "gone"]:
            return await _lease_once(self._azure, home, body)

        return await with_retries(f"the lock on {self._environment}", attempt)

    # --- keeping it --------------------------------------------------------------------------------------------

    async def _keep_beating(self) -> None:
        while self._lost is None:
            pause_s = LOOK_S if self._has_failed else BEAT_S
            await asyncio.sleep(clock.lock_real_s(pause_s))
            if not self._held:
                return
            await self._beat(even_if_good=True)

    async def _beat(self, *, even_if_good: bool = False) -> None:
        """Write the heartbeat; after a gap, first see that the lease is still ours."""
        async with self._beating:
            if not even_if_good and self._good and self._good.real_s() < clock.lock_real_s(BEAT_S):
                return
            try:
                self._refused = None
                await self._beat_once()
            except ProvisioningError as error:
                journal().note(f"the heartbeat of this run couldn't be written: {error}")
                self._has_failed = True
            except ArmFault as fault:
                journal().note(f"the heartbeat of this run couldn't be written: {fault}")
                self._has_failed = True
                self._refused = fault if rule_for(fault).reaction == "stop" else None
            if self._lost is not None:
                self._end_inside()

    def _end_inside(self) -> None:
        # Who asks the lock itself is told by an error.
        if self._inside is not None and self._inside is not asyncio.current_task():
            self._inside.cancel()

    async def _beat_once(self) -> None:
        slept = self._good is not None and self._good.real_s() > clock.lock_real_s(2 * BEAT_S)
        if self._has_failed or slept:
            for held in self._held:
                if held.has_lease:
                    body = {"action": "Renew", "leaseId": self.guid}
                    if await _lease_once(self._azure, held.home, body) != "done":
                        self._lose("another run", slept=slept)
                        return
        sent, has_slept_over = Elapsed(), False
        for held in list(self._held):
            group = await _group(self._azure, held.home)
            if group is None:
                self._held.remove(held)  # and with it what was locked
                has_slept_over = slept
                continue
            text, now = _heartbeat_of(group), _date_of(group)
            beat = _Heartbeat.read(text or "")
            is_ours = beat is not None and beat.guid == self.guid
            if slept and held.has_beaten and not held.has_lease and not is_ours:
                # No lease tells whether another run came and went; our own heartbeat, which it takes away, does.
                self._lose(beat.writer if beat is not None else "another run", slept=True)
                return
            is_anothers = beat is not None and beat.guid != self.guid and (beat.guid or beat.until > now)
            if beat is not None and is_anothers and text != self._left_behind.get(held.home.group):
                self._lose(beat.writer, slept=slept or held.has_lease)
                return
            try:
                await _tag(self._azure, held.home, "Merge", self._text(now))
                held.has_beaten = True
            except ArmFault as fault:
                # A group that is being deleted takes no tags; the next look finds it gone.
                if fault.status not in (404, 409) or not (
                    held.let_go or await _is_going(self._azure, held.home)
                ):
                    raise
                self._held.remove(held)
        self._has_failed = False
        self._good = sent
        self._sleeps_known = self._sleeps
        self._sleeps += has_slept_over
        self._left_behind = {}
        for callback in self._listeners:
            callback()

    def _text(self, now: datetime) -> str:
        until = now + timedelta(seconds=clock.lock_azure_s(LIVES_S))
        return f"{self.guid} {until.isoformat(timespec='seconds')} {self._writer}"

    def _lose(self, winner: str, *, slept: bool) -> None:
        how = (
            f"this run slept, or couldn't reach Azure, for longer than its lock lasts, and {winner} has taken the "
            "environment over"
            if slept
            else f"{winner} began at the same time, before there was anything to lock, and has the lock now"
        )
        self._lost = EnvironmentBusy(
            f"{self._environment}: {how}. This run has stopped and writes nothing more; what Azure has begun goes on.",
            way_out="Look at that run; when it has ended, run again.",
        )

    def _refuse_lost(self) -> None:
        if self._lost is not None:
            raise self._lost

    async def _give_back(self) -> None:
        tasks = [task for task in (self._heart, self._watch) if task is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        # What can't be reached now runs out by itself.
        with suppress(ArmFault, ProvisioningError, TimeoutError):
            async with asyncio.timeout(_GOODBYE_S):
                for held in self._held:
                    await self._give_back_home(held)
        self._held = []

    async def _give_back_home(self, held: _Held) -> None:
        group = await _group(self._azure, held.home)
        text = _heartbeat_of(group) if group is not None else None
        beat = _Heartbeat.read(text or "")
        if text is not None and beat is not None and beat.guid == self.guid:
            # With the very value that it has: a tag is taken away by name and value.
            with suppress(ArmFault):
                await _tag(self._azure, held.home, "Delete", text)
        if held.has_lease:
            await _lease_once(self._azure, held.home, {"action": "Release", "leaseId": self.guid})


# --- requests ----------------------------------------------------------------------------------------------------


async def _group(azure: Azure, home: Home) -> Answer | None:
    """The resource group; None when it isn't there, or is being deleted."""
    try:
        answer = await send(azure.resources.resource_groups.get, home.group)
    except ArmFault as fault:
        if fault.status == 404:
            return None
        raise
    return None if state_of(answer.body).casefold() in _DELETING else answer


async def _is_going(azure: Azure, home: Home) -> bool:
    return await _group(azure, home) is None


def _heartbeat_of(group: Answer) -> str | None:
    tags = {str(key).casefold(): value for key, value in (group.body.get("tags") or {}).items()}
    found = tags.get(HEARTBEAT)
    return str(found) if found else None


def _date_of(answer: Answer) -> datetime:
    """When ARM answered, by its own clock; that of this machine may be off."""
    try:
        found = parsedate_to_datetime(answer.headers.get("date", ""))
    except ValueError:
        raise ArmFault(None, "UnreadableAnswer", "an answer without a readable Date header") from None
    return found.replace(tzinfo=found.tzinfo or UTC)


async def _lease_state(azure: Azure, home: Home, account: str) -> str | None:
    """The state of the lease; `Available` where its container is still to be made, None without an account."""
    try:
        answer = await send(azure.storage.blob_containers.get, home.group, account, CONTAINER)
    except ArmFault as fault:
        if fault.status != 404:
            raise
        return "Available" if fault.code == "ContainerNotFound" else None
    properties = answer.body.get("properties")
    state = properties.get("leaseState") if isinstance(properties, dict) else None
    if not isinstance(state, str):
        raise ArmFault(None, "UnreadableAnswer", f"container {CONTAINER} without a lease state")
    return state.capitalize()


async def _ensure_container(azure: Azure, home: Home, account: str) -> None:
    containers = azure.storage.blob_containers

    async def attempt() -> None:
        try:
            await send(containers.get, home.group, account, CONTAINER)
        except ArmFault as fault:
            if fault.code != "ContainerNotFound":
                raise
            with purpose("lock"):
                await send(
                    containers.create, home.group, account, CONTAINER, json.dumps({"properties": {}}).encode()
                )

    await with_retries(f"blob container {CONTAINER}", attempt)


async def _lease_once(azure: Azure, home: Home, body: Json) -> Literal["done", "refused", "gone"]:
    assert home.account is not None
    lease = azure.storage.blob_containers.lease
    try:
        with purpose("lock"):
            await send(lease, home.group, home.account, CONTAINER, json.dumps(body).encode())
    except ArmFault as fault:
        if fault.status in (409, 412) and fault.code.startswith("Lease"):
            return "refused"
        if fault.status == 404:
            return "gone"
        raise
    return "done"


async def _tag(azure: Azure, home: Home, operation: Literal["Merge", "Delete"], value: str) -> None:
    body = {"operation": operation, "properties": {"tags": {HEARTBEAT: value}}}
    with purpose("lock"):
        begin: Any = azure.resources.tags.begin_update_at_scope
        await sent(begin, home.group_id, json.dumps(body).encode(), content_type="application/json")
