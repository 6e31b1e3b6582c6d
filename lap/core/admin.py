"""What the admin pages of all apps share: read-only pages, badges, links and times."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from django.contrib import admin
from django.db import models
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

NOTHING = "—"
STYLES = {"all": ["lap/admin.css"]}
Row = TypeVar("Row", bound=models.Model)

admin.site.site_header = admin.site.site_title = "LAP"
admin.site.index_title = "Agents on a schedule"


class ReadOnlyAdmin(admin.ModelAdmin[Row]):
    """Rows that may be looked at and not touched; ``view`` is the only permission that counts."""

    actions = None
    list_per_page = 50
    show_full_result_count = False

    class Media:
        css = STYLES

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Row | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Row | None = None) -> bool:
        return False


def badge(text: str, kind: str = "plain") -> SafeString:
    """An outlined pill; ``kind`` is ``plain``, ``good``, ``busy``, ``warn`` or ``bad``."""
    return format_html('<span class="lap-badge lap-{}">{}</span>', kind, text)


def text_block(text: str | None) -> str:
    """Text of any origin, shown as it is: escaped, its line breaks kept."""
    return format_html('<pre class="lap-text">{}</pre>', text) if text else NOTHING


def row_link(model: str, pk: object, text: object) -> SafeString:
    """A link to a row's page; ``model`` is ``<app label>_<model>``."""
    return format_html('<a href="{}">{}</a>', reverse(f"admin:{model}_change", args=[pk]), text)


def list_link(model: str, text: str, **lookups: object) -> SafeString:
    """A link to a list that is narrowed by ``lookups``."""
    address = reverse(f"admin:{model}_changelist", query=lookups)
    return format_html('<a href="{}">{}</a>', address, text)


def utc(at: datetime | None) -> str:
    """An instant for people: ``2026-11-03 09:00 UTC``, with seconds where it has any."""
    if at is None:
        return NOTHING
    seconds = ":%S" if at.second or at.microsecond else ""
    return at.astimezone(UTC).strftime(f"%Y-%m-%d %H:%M{seconds} UTC")


def span(length: timedelta | None) -> str:
    """A length of time for people: ``0.42 s``, ``12 s``, ``3 min 5 s``, ``2 h 5 min``."""
    if length is None:
        return NOTHING
    seconds = length.total_seconds()
    if seconds < 10:
        return f"{seconds:.2f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, rest_minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {rest_minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def time_column(name: str, label: str = "") -> Callable[[Any, Any], str]:
    """A column or read-only field that shows the instant ``name`` in UTC."""

    @admin.display(description=label or name.removesuffix("_at"), ordering=name)
    def show(_admin: Any, row: Any) -> str:
        return utc(getattr(row, name))

    return show
