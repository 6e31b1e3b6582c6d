"""Which sandboxes rows own, and which rows have lost theirs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from django.conf import settings

from sessions.models import Session, Status
from sessions.querysets import ACTIVE, HAS_WORK
from sessions.sandboxes.base import Sandbox
from sessions.sweeps import ago

DISAPPEARED: Final = "sandbox disappeared"
LOST: Final = "sandbox_lost"


@dataclass(frozen=True, slots=True)
class Ownership:
    """What is not in either list is too young to be judged."""

    owned: Sequence[Sandbox]
    orphans: Sequence[Sandbox]


def compare(sandboxes: Sequence[Sandbox]) -> Ownership:
    """Find the rows of sandboxes that were listed before.

    A row owns the sandbox of its attempt until it is final. A sandbox without any row is an orphan
    only past the grace: by the clock of whoever made it, hence without the database's.
    """
    facts = _facts(sandboxes)
    young = datetime.now(UTC) - timedelta(seconds=settings.LAP_RECONCILE_GRACE_SECONDS)
    owned, orphans = [], []
    for box in sandboxes:
        attempt, status = facts.get(box.session_id, (None, ""))
        if attempt == box.attempt and status in ACTIVE:
            owned.append(box)
        elif attempt is not None or box.created_at < young:
            orphans.append(box)
    return Ownership(owned, orphans)


def end_ghosts(owned: Sequence[Sandbox], host: str) -> int:
    """Ask conversations to end whose sandbox has ended or disappeared; how many.

    Only those that nobody has talked to for the grace, and whose sandboxes ``host`` can list. Runs
    are judged by their holder, who talks to the harness.
    """
    ready = Session.objects.filter(~HAS_WORK, status=Status.READY, sandbox_host=host)
    ghosts = ready.filter(last_seen_at__lt=ago(settings.LAP_RECONCILE_GRACE_SECONDS))
    lost = ghosts.exclude(id__in=[box.session_id for box in owned])
    count = lost.request_stop(DISAPPEARED, kind=LOST)
    for (reason, kind), ids in _ended(owned).items():
        count += ghosts.filter(id__in=ids).request_stop(reason, kind=kind)
    return count


def _ended(sandboxes: Sequence[Sandbox]) -> dict[tuple[str, str], list[UUID]]:
    """The sessions of ended sandboxes, by reason and kind."""
    ended: dict[tuple[str, str], list[UUID]] = defaultdict(list)
    for box in sandboxes:
        if not box.is_running:
            why = (box.ended_because or DISAPPEARED, box.ended_kind or LOST)
            ended[why].append(box.session_id)
    return ended


def _facts(sandboxes: Sequence[Sandbox]) -> dict[UUID, tuple[int, str]]:
    """Attempt and status of the sandboxes' sessions."""
    rows = Session.objects.filter(id__in={box.session_id for box in sandboxes})
    columns = rows.values_list("id", "attempt", "status")
    return {id_: (attempt, status) for id_, attempt, status in columns}
