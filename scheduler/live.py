"""Live parts of the ledger's and the fleet's pages, told apart by their rendered content."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.loader import render_to_string
from django.utils.safestring import SafeString
from django_htmx.http import reswap

from lap.web.live import is_unchanged, nothing_new, token_of

_FROM_NOW: Final = re.compile(r'(<time class="from-now"[^>]*>)[^<]*')
"""What ``moment`` shows: the instant, then its distance in words."""


@dataclass(frozen=True, slots=True)
class LivePart:
    """A ``<section>`` that a page includes by ``scheduler/_live.html``, and htmx asks for."""

    id: str
    label: str
    content: SafeString
    address: str
    seconds: int

    @property
    def token(self) -> str:
        """The same while only time passes: the browser keeps those words current by itself."""
        return token_of(_FROM_NOW.sub(r"\1", self.content))


def live_part(
    request: HttpRequest,
    template: str,
    context: Mapping[str, Any],
    *,
    id: str,  # noqa: A002
    label: str,
    seconds: int,
    **query: str,
) -> LivePart:
    """Render a part that asks again at most every ``seconds``, at its own address and ``query``."""
    content = render_to_string(template, dict(context), request)
    return LivePart(id, label, content, f"{request.path}?{urlencode(query)}", seconds)


def answer(request: HttpRequest, part: LivePart) -> HttpResponse:
    """204 where the browser shows this already, so that nothing of it loses focus or place."""
    if is_unchanged(request, part.token):
        return nothing_new()
    # Also where the page that asked first would put it inside of the place it keeps for it.
    return reswap(render(request, "scheduler/_live.html", {"part": part}), "outerHTML")
