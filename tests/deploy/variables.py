"""The environment variables that LAP reads."""

from __future__ import annotations

import re

from tests.deploy.rendering import ROOT


def read_by_settings() -> set[str]:
    """Those that ``lap/settings.py`` asks ``lap.env`` for."""
    text = (ROOT / "lap" / "settings.py").read_text()
    return set(re.findall(r'env\.\w+\(\s*"([A-Z][A-Z0-9_]+)"', text))
