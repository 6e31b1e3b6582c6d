"""What the admin pages of all apps share: read-only pages, badges, links and times."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeVar

from django.contrib import admin, messages
from django.core.paginator import Paginator
from django.db import models
from django.http import HttpRequest
from django.urls import reverse
from django.utils.functional import cached_property
from django.utils.html import format_html
from django.utils.safestring import SafeString

from lap.core.words import NOTHING

ROWS_COUNTED = 2000
ACTION_LIMIT = 1000
"""How many rows one action takes: each has a transaction of its own, all share a request."""

Row = TypeVar("Row", bound=models.Model)

admin.site.site_header = admin.site.site_title = "LAP"
admin.site.index_title = "Agents on a schedule"
admin.site.enable_nav_sidebar = False  # its third of a screen belongs to the tables


class AtLeast(int):
    """A count that was given up at this number: shown as ``2,000+``."""

    def __str__(self) -> str:
        return f"{int(self):,}+"


class CappedPaginator(Paginator[Row]):
    """Counts and pages through the first rows only, so that no list costs more for being long.

    Filters and search lead to the rows behind them.
    """

    @cached_property
    def count(self) -> int:
        rows = self.object_list
        assert isinstance(rows, models.QuerySet)
        counted = rows.order_by().values("pk")[: ROWS_COUNTED + 1].count()
        return counted if counted <= ROWS_COUNTED else AtLeast(ROWS_COUNTED)


class LapAdmin(admin.ModelAdmin[Row]):
    """Lists of any length: nothing about them is counted in full."""

    list_per_page = 50
    paginator = CappedPaginator
    show_facets = admin.ShowFacets.NEVER
    show_full_result_count = False

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        """No filter takes a NUL: PostgreSQL cannot compare one with anything."""
        return "\0" not in value and super().lookup_allowed(lookup, value, request)

    def selected(self, request: HttpRequest, queryset: models.QuerySet[Row]) -> list[Row]:
        """The rows an action is asked to act on; none, and a message, if they are too many."""
        rows = list(queryset[: ACTION_LIMIT + 1])
        if len(rows) <= ACTION_LIMIT:
            return rows
        sentence = f"Nothing was done: select at most {ACTION_LIMIT:,} rows at once."
        self.message_user(request, sentence, messages.ERROR)
        return []


class ReadOnlyAdmin(LapAdmin[Row]):
    """Rows that may be looked at and not touched; ``view`` is the only permission that counts."""

    actions: Any = None

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


def time_column(name: str, label: str = "") -> Callable[[Any, Any], str]:
    """A column or read-only field that shows the instant ``name`` in UTC."""

    @admin.display(description=label or name.removesuffix("_at"), ordering=name)
    def show(_admin: Any, row: Any) -> str:
        return utc(getattr(row, name))

    return show
