"""The end of a sandbox is the end of everything it started."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from sessions.sandboxes import boxes, local, processes
from sessions.sandboxes.base import Sandbox, SandboxSpec
from sessions.sandboxes.limits import Limits
from tests.sessions.sandboxes.client import ask, make_spec, start, wait_until
from tests.sessions.sandboxes.places import Place, harnesses, running

pytestmark = pytest.mark.slow
without_bwrap = pytest.mark.parametrize("place", ["root", "user"], indirect=True)

ESCAPES = """
setsid sleep 100.{n} &
(setsid sh -c 'setsid nohup sleep 101.{n} & exec sleep 102.{n}' &) &
setsid sh -c 'trap "" TERM INT HUP; while :; do sleep 103.{n}; done' &
setsid env -i PATH="$PATH" sleep 104.{n} &
setsid sh -c 'cd / && exec sleep 105.{n}' &
exec sleep 1000
"""

BOMB = """
import os, time
while True:
    try:
        os.fork()
    except OSError:
        time.sleep(0.01)
"""
DEEP = """
import os
for _ in range(3000):
    os.mkdir("d")
    os.chdir("d")
print("dug")
"""


def let_escape(sandbox: Sandbox, spec: SandboxSpec) -> str:
    """Start processes that leave their group and session; gives what marks them."""
    mark = f".{spec.session_id.int % 10**9}"
    script = "exec >/dev/null 2>&1 </dev/null\n" + ESCAPES.replace(".{n}", mark)
    ask(sandbox, spec, script, path="prompt_async")
    wait_until(lambda: len(sleepers(mark)) == 6, "six processes have escaped")
    return mark


def sleepers(mark: str) -> list[int]:
    return [pid for n in range(100, 106) for pid in running(f"sleep {n}{mark}") if is_sleep(pid)]


def is_sleep(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/comm").read_text() == "sleep\n"
    except OSError:
        return False


def test_stop_ends_what_left_its_group_and_session(place: Place) -> None:
    spec, backend = make_spec(), place.connect()
    mark = let_escape(start(backend, spec), spec)
    asyncio.run(backend.stop(spec.name))
    assert sleepers(mark) == []
    assert not place.box(spec.name).exists()


def test_nothing_lingers_when_the_harness_ends(place: Place) -> None:
    spec, backend = make_spec(), place.connect()
    mark = let_escape(start(backend, spec), spec)
    for pid in harnesses(place.box(spec.name)):
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not sleepers(mark), "its children are gone")
    wait_until(lambda: not asyncio.run(backend.list())[0].is_running, "it is listed as ended")
    assert "harness ended with status" in asyncio.run(backend.logs(spec.name))
    asyncio.run(backend.stop(spec.name))
    assert asyncio.run(backend.list()) == []


def test_stop_finds_what_a_killed_supervisor_left(place: Place) -> None:
    spec, backend = make_spec(), place.connect()
    mark = let_escape(start(backend, spec), spec)
    record = boxes.read_record(place.box(spec.name))
    assert record
    os.kill(record["pid"], signal.SIGKILL)
    asyncio.run(backend.stop(spec.name))
    assert sleepers(mark) == []
    assert not place.box(spec.name).exists()


def test_a_fork_bomb_is_bounded_and_ended(place: Place) -> None:
    limits = Limits(processes=40)
    spec, backend = make_spec(), place.connect(limits=limits)
    sandbox = start(backend, spec)
    ask(sandbox, spec, f"exec /usr/bin/python3 -c '{BOMB}'", path="prompt_async")
    mark = local._mark(place.box(spec.name))
    wait_until(lambda: len(processes.marked(mark)) >= 35, "the bomb has gone off")
    # The kernel counts threads by user, so ours may have run some before: hence not 40 sharp.
    assert max(len(processes.marked(mark)) for _ in range(20)) <= 80
    asyncio.run(backend.stop(spec.name))
    assert processes.marked(mark) == set()


@without_bwrap
def test_trees_that_resist_are_removed(place: Place) -> None:
    spec, backend = make_spec(), place.connect()
    sandbox = start(backend, spec)
    ask(sandbox, spec, "mkdir -p shut/inner; touch shut/inner/file; chmod 0 shut/inner shut")
    assert ask(sandbox, spec, f"/usr/bin/python3 -c '{DEEP}'") == "dug\n"
    asyncio.run(backend.stop(spec.name))
    assert not place.box(spec.name).exists()


@pytest.mark.parametrize("place", ["root"], indirect=True)
def test_files_in_shared_folders_do_not_meet_the_next_owner_of_the_id(place: Place) -> None:
    spec, backend = make_spec(), place.connect()
    path = Path(f"/tmp/left-by-{spec.session_id}")
    ask(start(backend, spec), spec, f"mkdir {path}; echo secret > {path}/file")
    assert path.exists()
    asyncio.run(backend.stop(spec.name))
    assert not path.exists()
