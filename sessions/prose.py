"""Text of any origin as HTML: paragraphs, fenced code, inline code, emphasis and links.

Everything is escaped. It is no Markdown: what has no form here is shown as it was written.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from django.utils.html import conditional_escape, format_html, format_html_join
from django.utils.safestring import SafeString

_FENCE: Final = re.compile(r" {0,3}(`{3,}|~{3,})[^`]*")
_INLINE: Final = re.compile(r"(`[^`\n]+`|\*\*(?!\s)[^*\n]+(?<!\s)\*\*|https?://[^\s<>\"'`*]+)")
_TRAILING: Final = ".,;:!?)]}"
"""What ends a sentence around a link rather than its address."""


@dataclass(frozen=True, slots=True)
class Block:
    """A paragraph, or a stretch of code."""

    text: str
    is_code: bool = False


def blocks(text: str) -> Iterator[Block]:
    """The paragraphs and the fenced code of a text, in order. A fence may stay open."""
    lines: list[str] = []
    fence = ""
    for line in text.splitlines():
        opening = None if fence else _FENCE.fullmatch(line)
        is_closing = bool(fence) and _closes(line.strip(), fence)
        if opening or is_closing or not (fence or line.strip()):
            yield from _block(lines, is_code=bool(fence))
            lines, fence = [], opening[1] if opening else "" if is_closing else fence
        else:
            lines.append(line)
    yield from _block(lines, is_code=bool(fence))


def _closes(line: str, fence: str) -> bool:
    return line.startswith(fence) and not line.strip(fence[0])


def _block(lines: Sequence[str], *, is_code: bool) -> Iterator[Block]:
    if lines:
        yield Block("\n".join(lines), is_code)


def split(found: Sequence[Block], limit: int) -> tuple[list[Block], list[Block]]:
    """The blocks up to ``limit`` characters, and the others; the one on the border is cut."""
    for index, block in enumerate(found):
        if len(block.text) > limit:
            start, end = (Block(text, block.is_code) for text in _cut(block.text, limit))
            return [*found[:index], start], [end, *found[index + 1 :]]
        limit -= len(block.text)
    return list(found), []


def _cut(text: str, limit: int) -> tuple[str, str]:
    """In two, at the end of a line where one is near."""
    near = text.rfind("\n", limit // 2, limit)
    return (text[:near], text[near + 1 :]) if near > 0 else (text[:limit], text[limit:])


def render(found: Sequence[Block]) -> SafeString:
    """The blocks as HTML."""
    return format_html_join("\n", "{}", ((_rendered(block),) for block in found))


def _rendered(block: Block) -> SafeString:
    if block.is_code:
        return format_html("<pre><code>{}</code></pre>", block.text)
    pieces = ((_inline(piece),) for piece in _INLINE.split(block.text))
    return format_html("<p>{}</p>", format_html_join("", "{}", pieces))


def _inline(piece: str) -> SafeString:
    if not _INLINE.fullmatch(piece):
        return conditional_escape(piece)
    if piece.startswith("`"):
        return format_html("<code>{}</code>", piece[1:-1])
    if piece.startswith("**"):
        return format_html("<strong>{}</strong>", piece[2:-2])
    address = piece.rstrip(_TRAILING)
    link = format_html('<a href="{}" rel="noopener noreferrer nofollow">{}</a>', address, address)
    return link + conditional_escape(piece[len(address) :])
