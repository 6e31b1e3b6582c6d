"""What templates say of agents."""

from datetime import datetime
from typing import Any

from django.template import Library

from agents import schedule_state
from agents.schedule_state import schedule_words

register = Library()
register.filter(schedule_words)


@register.filter
def next_run(agent: Any) -> datetime | None:
    """The instant that an agent of ``agents.listing.shown_agents`` runs next."""
    return schedule_state.next_run(agent, agent.resumed_at)
