"""Measures how sessions come up and how they end."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from django.conf import settings

from lap.core import metrics
from sessions.carried import Carried
from sessions.failures import ADVICE
from sessions.models import Session, Status, Trigger
from sessions.querysets import FINAL

WITHOUT_KIND: Final = "other"

# 0 until the first one.
for _trigger in Trigger.values:
    for _status in FINAL:
        metrics.sessions_ended.labels(_trigger, _status)
for _kind in (*ADVICE, WITHOUT_KIND):
    metrics.session_failures.labels(_kind)


def observe_ready(carried: Carried) -> None:
    """Measure a bring-up that has just succeeded. A restart is not measured from its instant."""
    session = carried.session
    metrics.bringup_duration.observe(carried.age_seconds)
    is_first_life = session.attempt == session.tries + 1
    if session.scheduled_for and session.started_at and is_first_life:
        # Instants are reached by the clock that tests warp, claims are written by the real one.
        warp = timedelta(seconds=settings.LAP_CLOCK_OFFSET_SECONDS)
        queued = session.started_at + warp - session.scheduled_for
        metrics.scheduled_to_ready.observe(queued.total_seconds() + carried.age_seconds)


def observe_end(session: Session) -> None:
    """Count a session whose final state was written."""
    metrics.sessions_ended.labels(session.trigger, session.status).inc()
    if session.status != Status.COMPLETED:
        metrics.session_failures.labels(session.failure_kind or WITHOUT_KIND).inc()
