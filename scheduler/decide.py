"""Decides what becomes of due instants. Pure: no database and no clock, only values."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Final

from scheduler.outcome import Outcome

FOLD_ABOVE: Final = 10
"""More neighbouring instants than this with one outcome become one range row."""

FRESH: Final = timedelta(minutes=1)
"""An instant younger than this is on time and runs whatever the catch-up policy."""


@dataclass(frozen=True, slots=True)
class Toggle:
    """A schedule was really switched on or off."""

    changed_at: datetime
    enabled: bool


@dataclass(frozen=True, slots=True)
class Pause:
    """A stretch of time, both ends included, in which the schedule was off. None is unbounded."""

    start: datetime | None
    end: datetime | None

    def covers(self, instant: datetime) -> bool:
        began = self.start is None or self.start <= instant
        return began and (self.end is None or instant <= self.end)


@dataclass(frozen=True, slots=True)
class Due:
    """What is known of one agent, read under its lock."""

    catchup_policy: str
    catchup_window: timedelta
    has_active_run: bool
    toggles: Sequence[Toggle] = ()


@dataclass(frozen=True, slots=True)
class Backlog:
    """Due instants, oldest first, and the instant that follows them.

    ``following`` is itself due when the backlog was cut to a chunk.
    """

    instants: Sequence[datetime]
    following: datetime | None

    def reaches(self, now: datetime) -> bool:
        return self.following is None or self.following > now


@dataclass(frozen=True, slots=True)
class Fire:
    """One ledger row: an instant, or ``count`` of them up to ``scheduled_until``."""

    outcome: Outcome
    scheduled_for: datetime
    reason: str = ""
    scheduled_until: datetime | None = None
    count: int = 1


def decide(due: Due, backlog: Backlog, now: datetime) -> list[Fire]:
    """The ledger rows of a backlog, oldest first; at most the last one is ``started``.

    Instants up to the latest resume never run: those inside a pause are ``paused``, the others
    ``missed``. Of the rest only the newest may run, and only once the agent has caught up.
    """
    pauses = pauses_of(due.toggles)
    resumed_at = max((t.changed_at for t in due.toggles if t.enabled), default=None)
    newest = backlog.instants[-1] if backlog.instants and backlog.reaches(now) else None
    return fold(
        _paused(instant, pauses)
        or _before_resume(instant, resumed_at)
        or _run(instant, newest, due, now)
        or _caught_up(instant, due, now)
        for instant in backlog.instants
    )


def supersede(backlog: Backlog, toggles: Sequence[Toggle], changed_at: datetime) -> list[Fire]:
    """The ledger rows of instants that an edit at ``changed_at`` cut off before a tick saw them."""
    pauses = pauses_of(toggles)
    reason = f"the schedule was changed at {_iso(changed_at)} before this instant was looked at"
    return fold(
        _paused(instant, pauses) or Fire(Outcome.SUPERSEDED, instant, reason)
        for instant in backlog.instants
    )


def pauses_of(toggles: Iterable[Toggle]) -> list[Pause]:
    """The pauses that a history of real toggles, in order, tells of.

    A history that begins with switching on starts inside a pause; one that ends with switching
    off ends inside one.
    """
    pauses: list[Pause] = []
    since: datetime | None = None
    is_off = True
    for toggle in toggles:
        if toggle.enabled and is_off:
            pauses.append(Pause(since, toggle.changed_at))
        since, is_off = toggle.changed_at, not toggle.enabled
    if since is not None and is_off:
        pauses.append(Pause(since, None))
    return pauses


def fold(fires: Iterable[Fire]) -> list[Fire]:
    """Join neighbours with one outcome and reason into ranges: pauses always, others if long."""
    rows: list[Fire] = []
    for (outcome, reason), group in groupby(fires, key=lambda fire: (fire.outcome, fire.reason)):
        run = list(group)
        if len(run) > (1 if outcome is Outcome.PAUSED else FOLD_ABOVE):
            first, last = run[0].scheduled_for, run[-1].scheduled_for
            rows.append(Fire(outcome, first, reason, scheduled_until=last, count=len(run)))
        else:
            rows.extend(run)
    return rows


def _paused(instant: datetime, pauses: Sequence[Pause]) -> Fire | None:
    if not any(pause.covers(instant) for pause in pauses):
        return None
    return Fire(Outcome.PAUSED, instant, "the schedule was switched off")


def _before_resume(instant: datetime, resumed_at: datetime | None) -> Fire | None:
    if resumed_at is None or instant > resumed_at:
        return None
    reason = f"no worker ran, and the schedule was switched on again at {_iso(resumed_at)}"
    return Fire(Outcome.MISSED, instant, reason)


def _run(instant: datetime, newest: datetime | None, due: Due, now: datetime) -> Fire | None:
    if instant != newest or not _is_young_enough(now - instant, due):
        return None
    if due.has_active_run:
        return Fire(Outcome.SKIPPED_OVERLAP, instant, "the previous run was still active")
    return Fire(Outcome.STARTED, instant)


def _is_young_enough(age: timedelta, due: Due) -> bool:
    return age < FRESH or (due.catchup_policy == "latest" and age <= due.catchup_window)


def _caught_up(instant: datetime, due: Due, now: datetime) -> Fire:
    if due.catchup_policy == "skip":
        reason = "no worker ran, and the catch-up policy is skip"
        return Fire(Outcome.MISSED, instant, reason)
    if now - instant > due.catchup_window:
        window = f"{due.catchup_window.total_seconds():.0f} s"
        return Fire(
            Outcome.MISSED, instant, f"no worker ran within the catch-up window of {window}"
        )
    return Fire(Outcome.COALESCED, instant, "no worker ran; only the newest missed instant is run")


def _iso(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"
