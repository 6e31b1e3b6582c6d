"""Whether a page's HTML is valid, and as plain as our pages promise to be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import zip_longest
from typing import Final

from justhtml import Element, JustHTML

from tests.browser.written import Tag, Written

HEADINGS: Final = ("h1", "h2", "h3", "h4", "h5", "h6")
INTERACTIVE: Final = ("a", "button", "input", "select", "summary", "textarea")
HOLDS_NO_CONTROL: Final = ("a", "button", "summary")
HOLDS_PHRASES: Final = (
    *HEADINGS, "b", "button", "code", "em", "i", "label", "p", "pre", "small", "span", "strong",
    "time",
)  # fmt: skip
BLOCKS: Final = (
    *HEADINGS, "article", "aside", "details", "div", "dl", "fieldset", "footer", "form", "header",
    "main", "nav", "ol", "p", "pre", "section", "table", "ul",
)  # fmt: skip
CHILDREN: Final = {
    "ul": ("li", "script", "template"),
    "ol": ("li", "script", "template"),
    "dl": ("dt", "dd", "div", "script", "template"),
}
REFERENCES: Final = ("for", "aria-controls", "aria-describedby", "aria-labelledby", "list", "form")
LOADED: Final = ("src", "srcset", "poster", "data", "action", "formaction")
DATA: Final = ("application/json", "application/ld+json")
ELSEWHERE: Final = ("http:", "https:", "//")


def check_html(text: str) -> list[str]:
    """What is wrong with a document, a line each; empty when nothing is."""
    written = Written(text)
    parsed = JustHTML(text, collect_errors=True, sanitize=False, scripting_enabled=False)
    return [
        *written.problems,
        *(f"line {error.line}: {error.message}" for error in parsed.errors),
        *_repairs(written.tags, parsed),
        *_ids(written.tags),
        *(f"{tag}: {wrong}" for tag in written.tags for wrong in (*_nesting(tag), *_plain(tag))),
    ]


def _repairs(tags: list[Tag], parsed: JustHTML) -> Iterator[str]:
    """The first element that a parser puts elsewhere than it was written: HTML forbids it there."""
    wanted = [tag for tag in tags if tag.name != "tbody"]
    found = [
        element
        for element in parsed.query("*")
        if isinstance(element, Element) and element.name != "tbody"
    ]
    for tag, element in zip_longest(wanted, found):
        if tag is None or element is None or _place(tag) != _place(element):
            yield f"{tag or 'the end'}: a parser makes <{element.name if element else 'nothing'}>"
            return


def _place(one: Tag | Element) -> tuple[str, str]:
    """Its name and its parent's; a table's body may be left out."""
    outer = one.parent
    while outer and outer.name == "tbody":
        outer = outer.parent
    return one.name.lower(), outer.name.lower().removeprefix("#document") if outer else ""


def _ids(tags: list[Tag]) -> Iterator[str]:
    ids = Counter(value for tag in tags for name, value in tag.attributes if name == "id")
    yield from (f"id {name!r} is given {count} times" for name, count in ids.items() if count > 1)
    for tag in tags:
        for attribute in REFERENCES:
            lost = [name for name in tag.get(attribute).split() if name not in ids]
            yield from (f"{tag}: {attribute} names {name!r}, which is not there" for name in lost)


def _nesting(tag: Tag) -> Iterator[str]:
    outer = tag.parent.name if tag.parent else ""
    if tag.name in INTERACTIVE:
        holders = [one.name for one in tag.ancestors() if one.name in HOLDS_NO_CONTROL]
        yield from (f"a control inside of <{holder}>" for holder in holders)
    if tag.name in BLOCKS and outer in HOLDS_PHRASES:
        yield f"a block inside of <{outer}>"
    if tag.name not in CHILDREN.get(outer, (tag.name,)):
        yield f"not allowed directly inside of <{outer}>"


def _plain(tag: Tag) -> Iterator[str]:
    """No code and no style in the page, nothing from another host, no attribute twice."""
    for name, count in Counter(name for name, _ in tag.attributes).items():
        if count > 1:
            yield f"has {name}= {count} times"
        if name == "style" or name.startswith(("on", "hx-on")):
            yield f"has {name}="
        is_loaded = name in LOADED or (name == "href" and tag.name == "link")
        if is_loaded and tag.get(name).startswith(ELSEWHERE):
            yield f"{name} leads to another host"
    if tag.name == "style":
        yield "an inline style sheet"
    if tag.name == "script" and not tag.get("src") and tag.get("type") not in DATA:
        yield "an inline script"
