"""Pages of lists: limits that fall back, and cursors that survive new rows."""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar

from django.db.models import Model, QuerySet
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request

M = TypeVar("M", bound=Model)

DEFAULT_LIMIT = 50
LIMIT = 200
OFFSET_LIMIT = 1_000_000_000
_DIGITS = re.compile(r"[0-9]{1,10}", re.ASCII)


def number_or_default(text: str | None, default: int, lowest: int, highest: int) -> int:
    """The number in a query parameter; the default for anything but a number in its bounds."""
    if text is None or not _DIGITS.fullmatch(text):
        return default
    return int(text) if lowest <= int(text) <= highest else default


def limit_of(request: Request) -> int:
    """``?limit``, 1 to 200."""
    return number_or_default(request.query_params.get("limit"), DEFAULT_LIMIT, 1, LIMIT)


@dataclass(frozen=True, slots=True)
class Cursor:
    """The last row of a page: where the next one begins, whatever was inserted since."""

    at: datetime
    id: Any

    def __str__(self) -> str:
        return urlsafe_b64encode(f"{self.at.isoformat()} {self.id}".encode()).decode().rstrip("=")

    @classmethod
    def parse(cls, text: str, parse_id: Callable[[str], Any]) -> Cursor:
        """Raises ValueError for anything that no page handed out."""
        padded = text.encode() + b"=" * (-len(text) % 4)
        at, _, id_ = urlsafe_b64decode(padded).decode("ascii").partition(" ")
        cursor = cls(datetime.fromisoformat(at), parse_id(id_))
        if str(cursor) != text or cursor.at.utcoffset() != timedelta(0):
            raise ValueError(text)
        return cursor


@dataclass(frozen=True, slots=True)
class Keyset:
    """A list newest first, by a time and then by id; ``parse_id`` reads an id from a cursor."""

    time: str
    parse_id: Callable[[str], Any]

    def page(self, rows: QuerySet[M], request: Request) -> tuple[list[M], dict[str, str]]:
        """One page, and its ``Link`` header when there are more."""
        before = request.query_params.get("before", "")
        try:
            page, last = self.read(rows, before, limit_of(request))
        except ValueError:
            wrong = {"before": "is not a cursor from the Link header of this list"}
            raise ValidationError(wrong) from None
        if not last:
            return page, {}
        return page, {"Link": f'<{_address(request, before=str(last))}>; rel="next"'}

    def read(self, rows: QuerySet[M], before: str, limit: int) -> tuple[list[M], Cursor | None]:
        """The rows behind a cursor, and where the next page begins when there are more.

        Rides on an index of both columns. Raises ValueError for a cursor that no page handed out.
        """
        found = list(self._before(rows, before).order_by(f"-{self.time}", "-id")[: limit + 1])
        page = found[:limit]
        if len(found) == len(page):
            return page, None
        return page, Cursor(getattr(page[-1], self.time), page[-1].pk)

    def _before(self, rows: QuerySet[M], text: str) -> QuerySet[M]:
        if not text:
            return rows
        cursor = Cursor.parse(text, self.parse_id)
        older_or_same = rows.filter(**{f"{self.time}__lte": cursor.at})
        return older_or_same.exclude(**{self.time: cursor.at, "id__gte": cursor.id})


def _address(request: Request, **changes: str) -> str:
    query = request.query_params.copy()
    for name, value in changes.items():
        query[name] = value
    return request.build_absolute_uri(f"{request.path}?{query.urlencode()}")


def one_of(request: Request, name: str, values: list[str]) -> str | None:
    """A filter's value, None when it is not used. Raises ValidationError for an unknown one."""
    value = request.query_params.get(name)
    if value and value not in values:
        raise ValidationError({name: f"must be one of {', '.join(values)}"})
    return value or None
