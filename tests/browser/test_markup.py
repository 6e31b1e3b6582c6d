"""The judge of HTML sees what it should, and no more."""

from __future__ import annotations

import pytest

from tests.browser.markup import check_html


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("<p><b>bold</p>", "<b> is not closed before </p>"),
        ("<div>", "<div> is not closed before </body>"),
        ("<p>x</p></div>", "</div> closes nothing"),
        ("<div/>", "is not closed by its slash"),
        ("<p class=a class=b>x</p>", "has class= 2 times"),
        ("<p><table></table></p>", "a parser makes"),
        ("<table><div></div></table>", "a parser makes"),
        ("<form><form></form></form>", "a parser makes"),
        ("<a href=/1><b><a href=/2>x</a></b></a>", "a parser makes"),
        ("<p id=a></p><p id=a></p>", "id 'a' is given 2 times"),
        ("<label for=nobody>x</label>", "names 'nobody'"),
        ("<a href=/><span><button>x</button></span></a>", "a control inside of <a>"),
        ("<span><div>x</div></span>", "a block inside of <span>"),
        ("<ul><p>x</p></ul>", "not allowed directly inside of <ul>"),
        ("<p style='color: red'>x</p>", "has style="),
        ("<p onclick='x()'>x</p>", "has onclick="),
        ("<script>x()</script>", "an inline script"),
        ("<style>p { color: red }</style>", "an inline style sheet"),
        ("<img alt='' src='https://example.org/x.png'>", "src leads to another host"),
        ("<form action='//example.org'></form>", "action leads to another host"),
    ],
)
def test_bad_html_is_told(body: str, problem: str) -> None:
    assert problem in "\n".join(check_html(document(body)))


@pytest.mark.parametrize(
    "body",
    [
        "<h1>Hi</h1><a href='https://example.org/'><div>a block in a link</div></a>",
        "<ul><li><p>x</p></li></ul><label for=name>Name</label><input id=name>",
        "<table><tr><td>1</td></tr></table>",
        "<table><thead><tr><th>1</th></tr></thead><tbody><tr><td>1</td></tr></tbody></table>",
        "<input list=zones><datalist id=zones><option value=a><option value=b></datalist>",
        "<svg viewBox='0 0 1 1'><linearGradient/><path d='M0 0'/><g></g></svg>",
        "<script type='application/json'>{}</script><noscript><p>x</p></noscript>",
    ],
)
def test_good_html_is_left_alone(body: str) -> None:
    assert check_html(document(body)) == []


def document(body: str) -> str:
    return f"<!DOCTYPE html><html lang=en><head><title>x</title></head><body>{body}</body></html>"
