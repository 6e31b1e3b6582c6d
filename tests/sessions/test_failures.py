"""What users are told about a session that ended early."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.conf import settings

from sessions.failures import ADVICE, advice

NEVER_A_SESSIONS_END = {"conflict", "expired", "not_found"}
"""Kinds that the backend handles by itself."""
EXPLAINS_ITSELF = {"no_interpreter", "stopped", "unsafe_directory"}


def kinds() -> set[str]:
    """Every kind that the code writes."""
    sources = Path(settings.BASE_DIR, "sessions").rglob("*.py")
    return {kind for path in sources for kind in re.findall(r'kind="(\w+)"', path.read_text())}


def test_every_kind_of_failure_has_its_advice() -> None:
    without = kinds() - set(ADVICE) - NEVER_A_SESSIONS_END
    assert without <= EXPLAINS_ITSELF


@pytest.mark.parametrize("kind", sorted(ADVICE))
def test_an_advice_is_whole_sentences_about_settings_that_exist(kind: str) -> None:
    said = advice(kind)
    assert re.fullmatch(r"[A-Z].*\.", said)
    assert "  " not in said
    for name in re.findall(r"\b(?:K8S|LAP)_\w*[A-Z]\b", said):
        assert hasattr(settings, name)
