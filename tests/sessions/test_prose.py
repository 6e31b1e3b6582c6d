"""Text of any origin as HTML."""

from __future__ import annotations

import pytest

from sessions.prose import Block, blocks, render, split

REL = 'rel="noopener noreferrer nofollow"'


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("", ""),
        ("one\ntwo\n\n\nthree", "<p>one\ntwo</p>\n<p>three</p>"),
        ("<b>&\"'", "<p>&lt;b&gt;&amp;&quot;&#x27;</p>"),
        ("say `<hi>` now", "<p>say <code>&lt;hi&gt;</code> now</p>"),
        ("a **bold** word", "<p>a <strong>bold</strong> word</p>"),
        ("2 ** 3 ** 4 `", "<p>2 ** 3 ** 4 `</p>"),
        (
            "```python\nx = '<'\n\ny\n```\nend",
            "<pre><code>x = &#x27;&lt;&#x27;\n\ny</code></pre>\n<p>end</p>",
        ),
        ("~~~\n```\n~~~", "<pre><code>```</code></pre>"),
        ("````\n```\n````", "<pre><code>```</code></pre>"),
        ("```\nnever closed", "<pre><code>never closed</code></pre>"),
        ("```\n```sh\n```", "<pre><code>```sh</code></pre>"),
        ("inline ```x``` fence", "<p>inline ``<code>x</code>`` fence</p>"),
        (
            "see https://a.example/?a=1&b=2.",
            f'<p>see <a href="https://a.example/?a=1&amp;b=2" {REL}>https://a.example/?a=1&amp;b=2</a>.</p>',
        ),
        ("javascript:alert(1) data:text/html,x", "<p>javascript:alert(1) data:text/html,x</p>"),
        (
            'https://a.example/"onclick="x',
            f'<p><a href="https://a.example/" {REL}>https://a.example/</a>&quot;onclick=&quot;x</p>',
        ),
    ],
)  # fmt: skip
def test_what_is_written_and_what_is_shown(text: str, html: str) -> None:
    assert render(list(blocks(text))) == html


def test_a_long_text_is_cut_at_the_end_of_a_line() -> None:
    found = [Block("short"), Block("line one\nline two", is_code=True), Block("end")]
    start, rest = split(found, 5 + 12)
    assert start == [Block("short"), Block("line one", is_code=True)]
    assert rest == [Block("line two", is_code=True), Block("end")]
    assert split(found, 100) == (found, [])


def test_a_text_without_lines_is_cut_all_the_same() -> None:
    assert split([Block("x" * 10)], 4) == ([Block("xxxx")], [Block("xxxxxx")])
