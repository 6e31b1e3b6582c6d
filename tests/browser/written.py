"""A document's elements as they were written, before a parser repairs them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import Final

VOID: Final = frozenset(
    "area base br col embed hr img input link meta source track wbr".split()  # noqa: SIM905
)


MAY_STAY_OPEN: Final = "option"
"""The one element whose end tag our templates leave out: long lists have hundreds."""


@dataclass(eq=False)
class Tag:
    name: str
    attributes: list[tuple[str, str | None]]
    line: int
    parent: Tag | None

    def __str__(self) -> str:
        attributes = "".join(f' {name}="{value}"' for name, value in self.attributes)
        return f"line {self.line}: <{self.name}{attributes}>"[:200]

    def get(self, name: str) -> str:
        return dict(self.attributes).get(name) or ""

    def ancestors(self) -> Iterator[Tag]:
        outer = self.parent
        while outer:
            yield outer
            outer = outer.parent


class Written(HTMLParser):
    """``tags`` in the order of the document; ``problems`` with the way they are closed.

    Stricter than HTML: also ``</p>``, ``</li>`` and the like have to be there.
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[Tag] = []
        self.problems: list[str] = []
        self._open: list[Tag] = []
        self.feed(text)
        self.close()
        self.problems += [f"{tag} is never closed" for tag in self._open]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == MAY_STAY_OPEN and self._open and self._open[-1].name == tag:
            self._open.pop()
        self._add(tag, attrs)
        if tag not in VOID:
            self._open.append(self.tags[-1])

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._add(tag, attrs)
        is_drawing = any(outer.name == "svg" for outer in (self.tags[-1], *self._open))
        if tag not in VOID and not is_drawing:
            self.problems.append(f"{self.tags[-1]} is not closed by its slash")

    def handle_endtag(self, tag: str) -> None:
        if tag in [one.name for one in self._open]:
            while (inner := self._open.pop()).name != tag:
                if inner.name != MAY_STAY_OPEN:
                    self.problems.append(f"{inner} is not closed before </{tag}>")
        else:
            self.problems.append(f"line {self.getpos()[0]}: </{tag}> closes nothing")

    def _add(self, name: str, attributes: list[tuple[str, str | None]]) -> None:
        outer = self._open[-1] if self._open else None
        self.tags.append(Tag(name, attributes, self.getpos()[0], outer))
