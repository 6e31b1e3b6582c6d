"""The history of one agent: what became of its instants, and its manual runs between them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from heapq import merge
from itertools import islice
from typing import Final
from uuid import UUID

from lap.core.words import span
from lap.web.tags import KINDS
from scheduler.models import OUTCOME_LABELS, CronFire
from scheduler.outcome import Outcome
from sessions.models import Session, Status, Trigger
from sessions.querysets import ACTIVE, FINAL

MANUAL: Final = "manual"
"""The filter for manual runs, beside the outcomes."""

ON_TIME: Final = timedelta(minutes=1)

_SESSION_COLUMNS: Final = (
    "status", "trigger", "created_at", "created_by", "started_at", "stopped_at", "failure_reason"
)  # fmt: skip
_FIRE_COLUMNS: Final = (
    "scheduled_for", "scheduled_until", "count", "outcome", "reason", "decided_at"
)  # fmt: skip
_SECONDS: Final = re.compile(r"\b([0-9]+) s\b")

_ADVICE: Final = {
    Outcome.SKIPPED_OVERLAP: "If this happens often, run it less often or shorten its time limit.",
    Outcome.MISSED: "Keep a worker running, or widen the catch-up window.",
    Outcome.COALESCED: "A newer instant ran in its place.",
    Outcome.PAUSED: "What falls into a pause is not run later.",
    Outcome.SUPERSEDED: "The new schedule counts from then on.",
    Outcome.INVALID_SCHEDULE: "Correct the schedule to switch it on again.",
}
_LETTERS: Final[dict[str, str]] = {
    Outcome.STARTED: "✓", Outcome.SKIPPED_OVERLAP: "S", Outcome.MISSED: "M",
    Outcome.COALESCED: "F", Outcome.PAUSED: "P", Outcome.SUPERSEDED: "E",
    Outcome.INVALID_SCHEDULE: "!",
    Status.COMPLETED: "✓", Status.FAILED: "✕", Status.DEAD: "✕",
    Status.CREATING: "▸", Status.READY: "▸", Status.STOPPING: "▸",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Run:
    """What became of one instant, or of ``count`` of them up to ``until``; or a manual run.

    ``at`` is the instant, of a manual run when it was asked for.
    """

    at: datetime
    outcome: str
    reason: str = ""
    until: datetime | None = None
    count: int = 1
    lateness: timedelta | None = None
    session: Session | None = None

    @classmethod
    def of_fire(cls, fire: CronFire) -> Run:
        decides_a_start = fire.outcome in (Outcome.STARTED, Outcome.SKIPPED_OVERLAP)
        return cls(
            at=fire.scheduled_for,
            outcome=fire.outcome,
            reason=fire.reason,
            until=fire.scheduled_until,
            count=fire.count,
            lateness=fire.decided_at - fire.scheduled_for if decides_a_start else None,
            session=fire.session,
        )

    @classmethod
    def of_session(cls, session: Session) -> Run:
        return cls(session.created_at, Outcome.STARTED, session=session)

    @property
    def is_manual(self) -> bool:
        return self.session is not None and self.session.trigger == Trigger.MANUAL

    @property
    def is_active(self) -> bool:
        return self.session is not None and self.session.status in ACTIVE

    @property
    def end(self) -> str:
        """The session's status; the outcome where there is no session."""
        return self.session.status if self.session else self.outcome

    @property
    def letter(self) -> str:
        """The end as one sign, so that not only its colour tells it."""
        return _LETTERS[self.end]

    @property
    def kind(self) -> str:
        """The end as a colour."""
        return KINDS.get(self.end, "plain")

    @property
    def label(self) -> str:
        """The end in words: ``manual run failed``, ``skipped overlap``, ``missed (3 instants)``."""
        words = f"manual run {self.end}" if self.is_manual else self.end.replace("_", " ")
        return f"{words} ({self.count} instants)" if self.count > 1 else words

    @property
    def duration(self) -> timedelta | None:
        """From the harness's start to the end; None before both are known."""
        started = self.session and self.session.started_at
        stopped = self.session and self.session.stopped_at
        return stopped - started if started and stopped else None

    @property
    def explanation(self) -> str:
        """In words why it came out as it did, and what can be done; empty when all went well."""
        if self.outcome == Outcome.STARTED:
            return " ".join(filter(None, (self._start(), self._failure())))
        known = Outcome(self.outcome)
        return f"{sentence(self.reason or OUTCOME_LABELS[known])} {_ADVICE[known]}"

    def _start(self) -> str:
        if self.session is None:
            return "Its session is no longer kept."
        if self.is_manual:
            return f"Started by {self.session.created_by}." if self.session.created_by else ""
        if self.lateness is not None and self.lateness > ON_TIME:
            return f"Started {span(self.lateness)} late."
        return ""

    def _failure(self) -> str:
        if self.session is None or self.session.status not in FINAL:
            return ""
        return sentence(self.session.failure_reason or "")


def history(
    agent_id: UUID, limit: int, *, only: str = "", before: datetime | None = None
) -> tuple[list[Run], bool]:
    """The newest runs before an instant, and whether there are older ones.

    ``only`` is an outcome or MANUAL. The ledger has one row per instant, so an instant is all
    that a page needs to know of the page before it. Rides on cron_fire_once_per_instant, and on
    session_list_of_trigger or session_list_of_agent, whichever has less to read.
    """
    fires = [] if only == MANUAL else _fires(agent_id, limit + 1, only, before)
    oldest = fires[limit].at if len(fires) > limit else None
    manual = _manual(agent_id, limit + 1, before, oldest) if only in ("", MANUAL) else []
    newest_first = merge(fires, manual, key=lambda run: run.at, reverse=True)
    runs = list(islice(newest_first, limit + 1))
    return runs[:limit], len(runs) > limit


def _fires(agent_id: UUID, limit: int, outcome: str, before: datetime | None) -> list[Run]:
    fires = CronFire.objects.filter(agent=agent_id).select_related("session")
    fires = fires.filter(outcome=outcome) if outcome else fires
    fires = fires.filter(scheduled_for__lt=before) if before else fires
    fires = fires.order_by("-scheduled_for").only(
        *_FIRE_COLUMNS, *(f"session__{name}" for name in _SESSION_COLUMNS)
    )
    return [Run.of_fire(fire) for fire in fires[:limit]]


def _manual(
    agent_id: UUID, limit: int, before: datetime | None, after: datetime | None
) -> Sequence[Run]:
    """Manual runs between two instants: as few of the agent's sessions are read as may be."""
    sessions = Session.objects.filter(agent=agent_id, trigger=Trigger.MANUAL)
    sessions = sessions.filter(created_at__lt=before) if before else sessions
    sessions = sessions.filter(created_at__gt=after) if after else sessions
    newest = sessions.order_by("-created_at", "-id").only(*_SESSION_COLUMNS)
    return [Run.of_session(session) for session in newest[:limit]]


def sentence(text: str) -> str:
    """A stored reason as a sentence, its seconds in larger units; empty for an empty one."""
    text = _SECONDS.sub(lambda found: str(span(timedelta(seconds=int(found[1])))), text.strip())
    if not text:
        return ""
    return f"{text[0].upper()}{text[1:]}{'' if text[-1] in '.!?' else '.'}"
