"""What a live part must keep, so that its news take no focus away."""

from __future__ import annotations

import re
from collections import Counter


def assert_focusable_have_ids(html: str) -> None:
    """Each link, control and scrolling region has an id of its own; there is at least one."""
    tags = re.findall(r"<(?:a|button|input|select|summary)\b[^>]*>|<[^>]* tabindex=[^>]*>", html)
    assert tags
    assert [tag for tag in tags if not re.search(r'\bid="[^"]+"', tag)] == []
    ids = Counter(re.findall(r'\sid="([^"]+)"', html))
    assert [id_ for id_, count in ids.items() if count > 1] == []
