"""Asks sessions to end. Who holds them, or the next worker, ends them."""

from __future__ import annotations

from uuid import UUID

from django.db import transaction

from lap.core.notify import notify_workers
from sessions.models import Session


def stop_session(session_id: UUID, reason: str) -> str:
    """Ask one session to end as ``dead``; the status that it has now, final ones included.

    Asking again changes nothing. Raises Session.DoesNotExist.
    """
    with transaction.atomic():
        if Session.objects.filter(id=session_id).request_stop(reason, kind="stopped"):
            notify_workers()
        return Session.objects.values_list("status", flat=True).get(id=session_id)
