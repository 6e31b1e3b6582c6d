"""What every sandbox of one installation needs, found out once."""

from __future__ import annotations

import os
import shutil
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from sessions.sandboxes import interpreter, isolation
from sessions.sandboxes.interpreter import Interpreter

UIDS = range(200_000, 265_536)
REGISTRY = isolation.RELOCATED / "uids"
HARNESS = Path(__file__).resolve().parents[2] / "harness"


class Kit(NamedTuple):
    """What a harness is started with."""

    interpreter: Interpreter
    harness: Path
    bwrap: str | None

    def command(self, port_file: Path, folders: list[Path]) -> list[str]:
        """The whole command; ``folders`` are home, temporary and run directory."""
        python, home = self.interpreter, folders[0]
        harness = [python.path, *interpreter.FLAGS, str(self.harness)]
        harness += ["--port-file", str(port_file), "--workdir", str(home)]
        if self.bwrap is None:
            return harness
        wrap = isolation.wrapped(self.bwrap, python)
        return [*wrap, *isolation.bound(self.harness, folders, folders[1]), *harness]


class Site:
    """The place of an installation's sandboxes. Properties are computed at their first use."""

    def __init__(
        self, root: Path, bwrap: str | None, uids: range, registry: Path, harness: Path
    ) -> None:
        self.root, self.uids = root.absolute().resolve(), uids
        self._bwrap, self._registry, self._harness = bwrap, registry, harness
        self._is_root = os.geteuid() == 0

    @cached_property
    def base(self) -> Path:
        """The directory of everything, which sandboxes can pass but not read."""
        if self._is_root:
            return isolation.reachable_base(self.root)
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        return self.root

    @cached_property
    def boxes(self) -> Path:
        """The directory of the sandboxes' directories."""
        return isolation.own_folder(self.base / "boxes", 0o711 if self._is_root else 0o700)

    @cached_property
    def registry(self) -> Path | None:
        """Where user ids are given out: one place on a machine. None without root."""
        if not self._is_root:
            return None
        isolation.own_folder(self._registry.parent, 0o711)
        return isolation.own_folder(self._registry, 0o700)

    @cached_property
    def kit(self) -> Kit:
        """What a harness is started with. Raises SandboxError."""
        # The last pair of user ids is for trying things out, and not given to a sandbox.
        uid = self.uids[-1] if self._is_root else None
        python = interpreter.find(uid)
        bwrap = shutil.which(self._bwrap) if self._bwrap else None
        if bwrap and not isolation.can_wrap(bwrap, python, uid):
            bwrap = None
        return Kit(python, interpreter.copy_harness(self._harness, self.base, python), bwrap)
