"""The harnesses an agent may name."""

from typing import Final

DEFAULT: Final = "opencode"
KNOWN: Final = ("claude-code", "codex", "gemini", "hermes", "opencode", "shell")
WITH_TERMINAL: Final = frozenset({"claude-code", "codex", "gemini", "hermes"})
