"""What a schedule would do, for somebody who is still typing it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta, tzinfo
from itertools import groupby, pairwise
from typing import Final

from django.core.exceptions import ValidationError
from django.utils import timezone

from agents.models import Agent
from agents.schedule_zones import offset_words
from agents.validation import validate_pair
from scheduler.cron import headline, load_zone, preview, utc_offset

SHOWN: Final = 5
COMPARED: Final = 10


@dataclass(frozen=True, slots=True)
class Typed:
    """A schedule as it is typed, and the agent it is for, if there is one yet."""

    expression: str
    timezone: str
    is_enabled: bool
    agent: Agent | None

    @property
    def is_blank(self) -> bool:
        return not self.expression.strip()

    @property
    def stored(self) -> tuple[str, str] | None:
        """The agent's schedule and zone; None where it has no schedule."""
        if self.agent is None or self.agent.cron_schedule is None:
            return None
        return self.agent.cron_schedule, self.agent.cron_timezone


@dataclass(frozen=True, slots=True)
class Run:
    """A coming run, with the offset that the agent's zone has then."""

    at: datetime
    offset: str
    is_touched: bool
    """By a clock change that one of the notes explains."""


@dataclass(frozen=True, slots=True)
class ChangedDay:
    """A day of the agent's zone, and the runs that an edit adds to it and removes from it."""

    name: str
    added: tuple[datetime, ...]
    removed: tuple[datetime, ...]


@dataclass(frozen=True, slots=True)
class Outlook:
    """The coming runs of a schedule, and what saving it would change."""

    words: str
    zone: tzinfo
    runs: tuple[Run, ...]
    notes: tuple[str, ...]
    has_other_zone: bool
    """The viewer's clocks show something else than the agent's."""
    effect: str
    """What saving does beyond the lists; empty where that is nothing special."""
    changes: tuple[ChangedDay, ...]
    """Of the next ten runs before and after the edit, what is not the same."""


def problem_of(typed: Typed) -> str:
    """The sentence that saving would refuse this schedule with; empty if it can run."""
    try:
        validate_pair(None if typed.is_blank else typed.expression, typed.timezone)
    except ValidationError as error:
        return error.messages[0]
    return ""


def outlook_of(typed: Typed, now: datetime) -> Outlook:
    """The runs after ``now``, for a schedule that has no problem and is not blank."""
    pair = (typed.expression, typed.timezone)
    coming = preview(*pair, now, SHOWN)
    runs = [Run(at, _offset(typed.timezone, at), at in coming.touched) for at in coming.next]
    changes = _changes(typed, now)
    return Outlook(
        words=headline(*pair),
        zone=load_zone(typed.timezone),
        runs=tuple(runs),
        notes=coming.notes or tuple(_offset_notes(typed.timezone, runs)),
        has_other_zone=_differs(typed.timezone, coming.next),
        effect=_effect(typed, has_changes=bool(changes)),
        changes=changes,
    )


def _changes(typed: Typed, now: datetime) -> tuple[ChangedDay, ...]:
    pair = (typed.expression, typed.timezone)
    if not (_was_enabled(typed) and typed.is_enabled) or typed.stored == pair:
        return ()
    both = preview(*pair, now, COMPARED, before=typed.stored)
    added, removed = (_by_day(at, load_zone(typed.timezone)) for at in (both.added, both.removed))
    days = sorted({*added, *removed})
    return tuple(
        ChangedDay(_day_name(day, now), added.get(day, ()), removed.get(day, ())) for day in days
    )


def _by_day(instants: Sequence[datetime] | None, zone: tzinfo) -> dict[date, tuple[datetime, ...]]:
    by_day = groupby(instants or (), key=lambda at: at.astimezone(zone).date())
    return {day: tuple(found) for day, found in by_day}


def _day_name(day: date, now: datetime) -> str:
    return f"{day:%a %-d %b}" if day.year == now.year else f"{day:%a %-d %b %Y}"


def _effect(typed: Typed, *, has_changes: bool) -> str:
    if not typed.is_enabled:
        saved = "Saving pauses the schedule" if _was_enabled(typed) else "The schedule is paused"
        return f"{saved}: nothing runs until it is enabled."
    if typed.stored and not _was_enabled(typed):
        return "Saving enables the schedule, from its next run on."
    if typed.stored in (None, (typed.expression, typed.timezone)) or has_changes:
        return ""
    return f"The next {COMPARED} runs stay as they are."


def _was_enabled(typed: Typed) -> bool:
    return bool(typed.stored and typed.agent and typed.agent.cron_enabled)


def _offset(zone: str, at: datetime) -> str:
    return offset_words(utc_offset(zone, at))


def _offset_notes(zone: str, runs: Sequence[Run]) -> list[str]:
    """Sentences about clock changes that lie between these runs and touch none of them."""
    day = "%a %-d %b"
    return [
        f"The clocks of {zone} change before {run.at.astimezone(load_zone(zone)).strftime(day)}: "
        f"from then on they show {run.offset} instead of {before.offset}."
        for before, run in pairwise(runs)
        if before.offset != run.offset
    ]


def _differs(zone: str, instants: Sequence[datetime]) -> bool:
    return any(_viewers_offset(at) != utc_offset(zone, at) for at in instants)


def _viewers_offset(at: datetime) -> timedelta | None:
    return at.astimezone(timezone.get_current_timezone()).utcoffset()
