"""Template tags of every page: instants, lengths of time, statuses."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from django.template import Library
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from lap.core.words import NOTHING, span

DAY_AND_TIME: Final = "%a %-d %b %H:%M"
EXACT: Final = "%Y-%m-%d %H:%M:%S"

KINDS: Final = {
    "completed": "good", "started": "good", "enabled": "good", "live": "good", "ready": "busy",
    "creating": "busy", "stopping": "warn", "skipped_overlap": "warn", "paused": "warn",
    "blocked": "bad", "failed": "bad", "missed": "bad", "invalid_schedule": "bad",
    "expired": "bad",
}  # fmt: skip
"""How a status is coloured; all others are plain."""

register = Library()
register.filter(span)


@register.simple_tag
def moment(at: datetime | None) -> SafeString | str:
    """An instant as the time from now (``in 3 h 5 min``); the instant itself on hover.

    static/lap/from_now.js keeps it current.
    """
    if at is None:
        return NOTHING
    words = from_now(at, datetime.now(UTC))
    return format_html(
        '<time class="from-now" datetime="{}" title="{}">{}</time>', _iso(at), exact(at), words
    )


def from_now(at: datetime, now: datetime) -> str:
    """``in 21 h 24 min``, ``3 min ago``, ``now``: never rounded up, never a day that it is not."""
    seconds = int((at - now).total_seconds())
    if abs(seconds) < 5:
        return "now"
    return f"in {_size(seconds)}" if seconds > 0 else f"{_size(-seconds)} ago"


@register.simple_tag
def instant(at: datetime | None) -> SafeString | str:
    """An instant in the viewer's zone: ``Mon 23 Nov 09:00``; with seconds and zone on hover."""
    if at is None:
        return NOTHING
    local = _local(at)
    shown = local.strftime(DAY_AND_TIME if local.year == _year() else "%-d %b %Y %H:%M")
    return format_html('<time datetime="{}" title="{}">{}</time>', _iso(at), exact(at), shown)


@register.filter
def exact(at: datetime | None) -> str:
    """An instant in the viewer's zone: ``2026-11-23 09:00:00 PST``."""
    return _local(at).strftime(f"{EXACT} %Z") if at else NOTHING


@register.simple_tag
def status(name: str, label: str = "") -> SafeString:
    """A pill with a dot and a word; the word, not the colour, carries the meaning."""
    words = label or name.replace("_", " ")
    return format_html('<span class="pill {}">{}</span>', KINDS.get(name, "plain"), words)


@register.simple_tag
def trigger(name: str) -> SafeString | str:
    """The outlined badge of scheduled (``cron``) and ``manual`` runs; nothing for others."""
    return format_html('<span class="badge {}">{}</span>', name, name) if name != "api" else ""


@register.simple_tag(takes_context=True)
def here(context: dict[str, Any], prefix: str) -> SafeString | str:
    """Marks a link of the navigation when the page lies below ``prefix``."""
    path = context["request"].path if "request" in context else ""
    return SafeString(' aria-current="page"') if path.startswith(prefix) else ""


def _size(seconds: int) -> str:
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86_400
    if days >= 30:
        return f"{days} d"
    if days:
        return f"{days} d {hours % 24} h"
    if hours:
        return f"{hours} h {minutes % 60} min"
    return f"{minutes} min" if minutes else f"{seconds} s"


def _iso(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _local(at: datetime) -> datetime:
    return at.astimezone(timezone.get_current_timezone())


def _year() -> int:
    """Only chooses how a date is shown, so the machine's clock is good enough."""
    return datetime.now(UTC).year
