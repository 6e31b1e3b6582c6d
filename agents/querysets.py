"""The questions that are asked of agents."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.db import models
from django.db.models import BooleanField, ExpressionWrapper, Q

if TYPE_CHECKING:
    from agents.models import Agent, ScheduleChange  # noqa: F401


class AgentQuerySet(models.QuerySet["Agent"]):
    def alive(self) -> AgentQuerySet:
        return self.filter(deleted_at=None)

    def due(self, now: datetime) -> AgentQuerySet:
        """Enabled agents whose next instant has come, oldest first. Rides on agent_cron_due."""
        return self.filter(
            Q(cron_blocked_until=None) | Q(cron_blocked_until__lte=now),
            cron_enabled=True,
            cron_schedule__isnull=False,
            cron_next_fire_at__lte=now,
        ).order_by("cron_next_fire_at")

    def looked_at(self, now: datetime) -> AgentQuerySet:
        """Agents with what depends on the time: ``is_due`` and ``is_blocked``, at ``now``."""
        return self.annotate(
            is_due=_true(Q(cron_next_fire_at__lte=now)),
            is_blocked=_true(Q(cron_blocked_until__gt=now)),
        )

    def claim(self, limit: int) -> list[Agent]:
        """Lock up to ``limit`` of these agents, passing over those that somebody else holds.

        ``NO KEY`` leaves foreign-key checks of ordinary session inserts alone: they neither
        wait for this lock nor make it skip an agent. Needs a transaction.
        """
        return list(self.select_for_update(skip_locked=True, no_key=True, of=("self",))[:limit])

    def lock(self, agent_id: UUID) -> Agent:
        """The living agent, locked until the transaction ends. Raises Agent.DoesNotExist."""
        return self.alive().select_for_update(no_key=True, of=("self",)).get(id=agent_id)

    def earliest_due(self) -> datetime | None:
        """When the next enabled schedule is due; agents that stepped aside count when they return.

        Rides on agent_cron_due.
        """
        enabled = self.filter(cron_enabled=True, cron_next_fire_at__isnull=False)
        free = enabled.filter(cron_blocked_until=None).aggregate(at=models.Min("cron_next_fire_at"))
        blocked = enabled.aggregate(at=models.Min("cron_blocked_until"))
        return min((row["at"] for row in (free, blocked) if row["at"]), default=None)


def _true(condition: Q) -> ExpressionWrapper[Any]:
    return ExpressionWrapper(condition, output_field=BooleanField())


class ScheduleChangeQuerySet(models.QuerySet["ScheduleChange"]):
    def unsettled(self) -> ScheduleChangeQuerySet:
        """Changes that cut off due instants. Rides on schedule_change_unsettled."""
        return self.filter(unsettled_from__isnull=False).order_by("id")

    def toggles(self) -> ScheduleChangeQuerySet:
        """Changes that really switched the schedule on or off, in order."""
        return self.exclude(enabled_before=models.F("enabled_after")).order_by("id")
