"""What a browser finds on a page of ours, and what it sends of a form that nobody touched."""

from __future__ import annotations

import re
from typing import Any, cast

from justhtml import Element, JustHTML

_LINE_END = re.compile("\r\n|\r|\n")

Sent = dict[str, list[str]]


def parsed(response: Any) -> JustHTML:
    """The document of an answer, or of a fragment."""
    return JustHTML(response.content.decode(), sanitize=False)


def find(within: JustHTML | Element, selector: str) -> list[Element]:
    """The elements that match, in order."""
    return cast(list[Element], list(within.query(selector)))


def attr(element: Element, name: str) -> str:
    """An attribute; empty when it is, and when it is not there."""
    return (element.attrs or {}).get(name) or ""


def has(element: Element, name: str) -> bool:
    return name in (element.attrs or {})


def text(element: JustHTML | Element) -> str:
    """The words in it, whatever the space between them."""
    return " ".join(element.to_text().split())


def sent_by_browser(response: Any) -> Sent:
    """The fields of the page's own form as they are in its HTML, lines ending in CRLF."""
    [form] = find(parsed(response), "form.agent-form")
    sent: Sent = {}
    for field in find(form, "input, select, textarea"):
        if not _is_unchecked(field):
            value = "\r\n".join(_LINE_END.split(_value(field)))
            sent.setdefault(attr(field, "name"), []).append(value)
    sent.pop("csrfmiddlewaretoken")
    return sent


def _is_unchecked(field: Element) -> bool:
    return attr(field, "type") == "checkbox" and not has(field, "checked")


def _value(field: Element) -> str:
    if field.name == "select":
        return next((attr(o, "value") for o in find(field, "option") if has(o, "selected")), "")
    if field.name == "textarea":
        return "".join(child.data for child in field.children)
    return attr(field, "value") or ("on" if attr(field, "type") == "checkbox" else "")
