"""Sandboxes on this machine: the built-in harness in processes of its own.

A worker only looks at directories and starts two kinds of helper: a supervisor that makes and
keeps a sandbox, and an ender that removes it. Why that is enough is told in ``boxes``; what
isolates what, in docs/decisions/local-sandbox.md.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import socket
import threading
import time
from contextlib import suppress
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from sessions.sandboxes import boxes, ender, helpers, output, processes, supervisor
from sessions.sandboxes import uids as user_ids
from sessions.sandboxes.base import Report, Sandbox, SandboxBackend, SandboxError, SandboxSpec
from sessions.sandboxes.finishing import finish
from sessions.sandboxes.interpreter import SYSTEM_PATH
from sessions.sandboxes.limits import Limits
from sessions.sandboxes.site import HARNESS, REGISTRY, UIDS, Site

HARNESS_ID = "shell"
NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
SESSION_NAME = re.compile(r"s-([0-9a-f]{8}(?:-?[0-9a-f]{4}){3}-?[0-9a-f]{12})-([0-9]{1,9})")

CREATE_SECONDS = 30.0
HOLDER_SECONDS = 0.5
LOOK_SECONDS, QUICK_LOOKS, SLOW_LOOK_SECONDS = 0.02, 50, 0.2
REASON_BYTES = 2000


class LocalBackend(SandboxBackend):
    """Runs sandboxes on this machine, below ``root``.

    ``bwrap`` is bubblewrap's command (a path, or looked for on PATH), None to do without. With a
    worker that is root, every sandbox gets a user id of ``uids``; which are taken stands in
    ``registry``, one directory for all installations of a machine.
    """

    def __init__(
        self,
        root: Path,
        *,
        bwrap: str | None = "bwrap",
        limits: Limits | None = None,
        uids: range = UIDS,
        registry: Path = REGISTRY,
        harness: Path = HARNESS,
    ) -> None:
        self._site = Site(root, bwrap, uids, registry, harness)
        self._limits = limits or Limits()
        self._preparing = threading.Lock()
        self.host = f"{socket.gethostname()}:{self._site.root}"

    async def create(self, spec: SandboxSpec) -> Sandbox:
        """Start the sandbox, or adopt the live one of that name. Raises SandboxError."""
        _check(spec)
        return await finish(asyncio.to_thread(self._create, spec))

    async def wait_ready(self, sandbox: Sandbox, report: Report) -> Sandbox:
        """Wait for the harness's port, for as long as the caller lets us. Raises SandboxError."""
        await report("waiting_harness", "")
        looks = 0
        while not (url := await asyncio.to_thread(self._find_url, sandbox.name)):
            await asyncio.sleep(LOOK_SECONDS if looks < QUICK_LOOKS else SLOW_LOOK_SECONDS)
            looks += 1
        return replace(sandbox, url=url, is_running=True)

    async def stop(self, name: str) -> None:
        """End the sandbox, everything it started and its directory. Raises SandboxError."""
        if NAME.fullmatch(name):
            await finish(asyncio.to_thread(self._stop, name))

    async def list(self) -> list[Sandbox]:
        """Every sandbox that has a directory, also ended and half-made ones."""
        return await asyncio.to_thread(_look_around, self._site)

    async def logs(self, name: str, limit_bytes: int = 16_384) -> str:
        """The tail of what harness and supervisor wrote."""
        if not NAME.fullmatch(name):
            return ""
        return await asyncio.to_thread(self._tail, name, limit_bytes)

    def _create(self, spec: SandboxSpec) -> Sandbox:
        box = self._site.boxes / spec.name
        deadline = time.monotonic() + CREATE_SECONDS
        while time.monotonic() < deadline:
            record = boxes.read_record(box)
            if record and boxes.is_live(record):
                return _describe(spec.name, record, is_running=True)
            job = self._job(box, spec)
            status, errors = helpers.run("supervisor", job)
            if status == supervisor.STARTED:
                return _describe(spec.name, job["facts"], is_running=True)
            if status != supervisor.TAKEN:
                raise _start_failed(f"supervisor ended with status {status}", errors)
            _wait_for_holder(box)
        raise SandboxError(f"sandbox {spec.name} is being changed", kind="sandbox_busy")

    def _job(self, box: Path, spec: SandboxSpec) -> dict[str, Any]:
        with self._preparing:
            registry, kit = self._site.registry, self._site.kit
        mark = _mark(box)
        folders = [box / boxes.HOME, box / boxes.TMP, box / boxes.RUN]
        return {
            **_address(box, registry),
            "uids": [self._site.uids[0], self._site.uids[-3]],
            "limits": asdict(self._limits),
            "argv": kit.command(box / boxes.PORT, folders),
            "env": _environment(box, spec) | {processes.MARK_VARIABLE: mark.text},
            "facts": _facts(spec),
        }

    def _find_url(self, name: str) -> str:
        """The harness's address, empty when it has none yet. Raises SandboxError when it died."""
        box = self._site.boxes / name
        if not boxes.is_live(boxes.read_record(box)):
            raise _start_failed("the harness ended before it listened", self._tail(name, 2000))
        port = _read_port(box)
        return _url(port) if port and _is_own(port, box) else ""

    def _stop(self, name: str) -> None:
        box, registry = self._site.boxes / name, self._site.registry
        if not box.exists() and not (registry and user_ids.held_by(registry, box)):
            return
        record = boxes.read_record(box)
        status, errors = helpers.run("ender", _address(box, registry))
        if status != ender.ENDED:
            message = f"sandbox {name} could not be ended: {errors or f'status {status}'}"
            raise SandboxError(message, kind="sandbox_busy")
        if record and os.getpid() == 1:  # then orphans are ours, and nobody else collects them
            with suppress(ChildProcessError):
                os.waitpid(record["pid"], os.WNOHANG)

    def _tail(self, name: str, limit_bytes: int) -> str:
        box = self._site.boxes / name
        return output.tail(box / boxes.LOG, box / boxes.OLD_LOG, limit_bytes)


def _check(spec: SandboxSpec) -> None:
    harness_id = spec.configuration.harness_id
    if harness_id != HARNESS_ID:
        message = (
            f'harness "{harness_id}" is not installed for local sandboxes; choose '
            f'harness_id "{HARNESS_ID}", or run this agent on a backend whose image carries it'
        )
        raise SandboxError(message, kind="harness_not_installed", permanent=True)
    if not NAME.fullmatch(spec.name):
        raise SandboxError(f"bad sandbox name {spec.name!r}", kind="invalid_spec", permanent=True)


def _environment(box: Path, spec: SandboxSpec) -> dict[str, str]:
    """All that the harness gets to know; nothing of this process's own environment."""
    return {
        "PATH": SYSTEM_PATH,
        "LANG": "C.UTF-8",
        "HOME": str(box / boxes.HOME),
        "TMPDIR": str(box / boxes.TMP),
        **spec.env,
        "PORT": "0",
        "HARNESS_AUTH_TOKEN": spec.harness_token,
    }


def _facts(spec: SandboxSpec) -> dict[str, Any]:
    now = datetime.now(UTC).isoformat()
    return {"session_id": str(spec.session_id), "attempt": spec.attempt, "created_at": now}


def _address(box: Path, registry: Path | None) -> dict[str, Any]:
    """What both helpers are told."""
    return {"box": str(box), "registry": registry and str(registry), "mark": _mark(box)}


def _mark(box: Path) -> processes.Mark:
    digest = hashlib.sha256(os.fsencode(box)).hexdigest()
    return processes.Mark(digest[:32], int(digest[:15], 16))


def _wait_for_holder(box: Path) -> None:
    """Until whoever holds the lock has recorded itself or removed the box, or a moment later."""
    patience = time.monotonic() + HOLDER_SECONDS
    while time.monotonic() < patience and (box / boxes.LOCK).exists():
        if boxes.is_live(boxes.read_record(box)):
            return
        time.sleep(LOOK_SECONDS)


def _start_failed(what: str, output_tail: str) -> SandboxError:
    message = f"the sandbox did not start: {what}"
    if output_tail:
        message += f"; its last output:\n{output_tail[-REASON_BYTES:]}"
    return SandboxError(message, kind="sandbox_start_failed")


def _look_around(site: Site) -> list[Sandbox]:
    folders = [path for path in site.boxes.iterdir() if NAME.fullmatch(path.name)]
    found = [_look_at(path) for path in sorted(folders)]
    return [sandbox for sandbox in found if sandbox]


def _look_at(box: Path) -> Sandbox | None:
    """The sandbox in a directory; None when nothing tells whose it is."""
    if box.is_symlink() or not box.is_dir():
        return None
    record = boxes.read_record(box)
    is_running = boxes.is_live(record)
    with suppress(KeyError, ValueError, TypeError):
        if record:
            port = _read_port(box) if is_running else None
            return replace(_describe(box.name, record, is_running), url=_url(port))
    return _guess(box)


def _guess(box: Path) -> Sandbox | None:
    """A sandbox that died before its record was written: its name tells whose it was."""
    try:
        created_at = datetime.fromtimestamp(box.stat().st_mtime, UTC)
    except FileNotFoundError:
        return None
    if not (found := SESSION_NAME.fullmatch(box.name)):
        return None
    return Sandbox(box.name, UUID(found[1]), int(found[2]), created_at, is_running=False)


def _describe(name: str, record: dict[str, Any], is_running: bool) -> Sandbox:
    created_at = datetime.fromisoformat(record["created_at"])
    session_id, attempt = UUID(record["session_id"]), int(record["attempt"])
    return Sandbox(name, session_id, attempt, created_at, is_running=is_running)


def _read_port(box: Path) -> int | None:
    """The port that the sandbox wrote. It may write anything there: no link, pipe or flood."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(box / boxes.PORT, flags)
    except OSError:
        return None
    try:
        text = os.read(descriptor, 16).strip()
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return int(text) if text.isdigit() and 0 < int(text) < 65_536 else None


def _is_own(port: int, box: Path) -> bool:
    """Whether the sandbox's user listens there: else it could point us at another service."""
    with suppress(OSError):
        return processes.listener_uid(port) == (box / boxes.RUN).stat().st_uid
    return True


def _url(port: int | None) -> str:
    return f"http://127.0.0.1:{port}" if port else ""
