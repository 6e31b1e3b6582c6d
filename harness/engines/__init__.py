"""Engines: what turns a prompt into a reply."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.engines.shell import ShellEngine

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from harness.engines.base import Engine
    from harness.process import Children

ENGINES: dict[str, Callable[[Path, Children], Engine]] = {"shell": ShellEngine}


def create_engine(name: str, workdir: Path, children: Children) -> Engine:
    """The engine of that name, working in ``workdir``."""
    return ENGINES[name](workdir, children)
