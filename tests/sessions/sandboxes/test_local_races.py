"""Workers that race, are stopped or are killed: never two harnesses, never a lost sandbox."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from pathlib import Path

import pytest

from sessions.sandboxes import boxes
from tests.sessions.sandboxes import places
from tests.sessions.sandboxes.client import ask, make_spec, start, status, wait_until
from tests.sessions.sandboxes.places import Place, answer_of, harnesses

pytestmark = [
    pytest.mark.slow,
    pytest.mark.parametrize("place", ["root", "user"], indirect=True),
]


def is_stopped(worker: subprocess.Popen[bytes]) -> bool:
    stat = Path(f"/proc/{worker.pid}/stat").read_text()
    return stat.rpartition(")")[2].split()[0] == "T"


def test_workers_that_create_at_once_share_one_harness(place: Place) -> None:
    spec = make_spec()
    workers = [place.start_worker("create", spec) for _ in range(5)]
    times = {answer_of(worker).created_at for worker in workers}
    for worker in workers:
        places.end(worker)
    sandbox = start(place.connect(), spec)
    assert status(sandbox, spec.harness_token) < 300
    assert times == {sandbox.created_at}
    assert len(harnesses(place.box(spec.name))) == 1


def test_a_sandbox_outlives_the_worker_that_made_it(place: Place) -> None:
    spec = make_spec()
    worker = place.start_worker("create", spec)
    answer_of(worker)
    [supervisor] = [boxes.read_record(place.box(spec.name))]
    assert supervisor
    assert os.getsid(supervisor["pid"]) != os.getsid(worker.pid)
    places.end(worker)
    sandbox = start(place.connect(), spec)
    assert ask(sandbox, spec, "echo alive") == "alive\n"
    assert len(harnesses(place.box(spec.name))) == 1


def test_it_keeps_no_descriptor_of_its_worker(place: Place) -> None:
    spec = make_spec()
    start(place.connect(), spec)
    record = boxes.read_record(place.box(spec.name))
    assert record
    # The harness hides its own from everybody but root.
    hidden = harnesses(place.box(spec.name)) if os.geteuid() == 0 else []
    for pid in [record["pid"], *hidden]:
        links = [str(path.readlink()) for path in Path(f"/proc/{pid}/fd").iterdir()]
        assert not [link for link in links if "memfd" in link]
        assert links.count("/dev/null") >= 1


def test_a_worker_stopped_in_create_adopts_when_it_wakes(place: Place) -> None:
    spec = make_spec()
    sleeper = place.start_worker("create", spec, is_stopped=True)
    wait_until(lambda: is_stopped(sleeper), "the worker stands still")
    sandbox = start(place.connect(), spec)
    sleeper.send_signal(signal.SIGCONT)
    assert answer_of(sleeper).created_at == sandbox.created_at
    places.end(sleeper)
    assert len(harnesses(place.box(spec.name))) == 1


def test_a_worker_that_wakes_after_the_end_makes_one_that_can_be_stopped(place: Place) -> None:
    spec = make_spec()
    sleeper = place.start_worker("create", spec, is_stopped=True)
    wait_until(lambda: is_stopped(sleeper), "the worker stands still")
    backend = place.connect()
    first = start(backend, spec)
    asyncio.run(backend.stop(spec.name))
    sleeper.send_signal(signal.SIGCONT)
    assert answer_of(sleeper).created_at != first.created_at
    places.end(sleeper)
    assert len(asyncio.run(backend.list())) == 1
    asyncio.run(backend.stop(spec.name))
    assert harnesses(place.box(spec.name)) == []


def test_a_worker_stopped_in_stop_holds_nobody_up(place: Place) -> None:
    spec, backend = make_spec(), place.connect()
    start(backend, spec)
    sleeper = place.start_worker("stop", spec.name, is_stopped=True)
    wait_until(lambda: is_stopped(sleeper), "the worker stands still")
    asyncio.run(backend.stop(spec.name))
    sleeper.send_signal(signal.SIGCONT)
    assert answer_of(sleeper) is None
    places.end(sleeper)
    assert asyncio.run(backend.list()) == []


def test_create_and_stop_in_a_crowd_leave_at_most_one(place: Place) -> None:
    spec = make_spec()
    methods = ["create", "stop", "create", "stop", "create", "create"]
    arguments = {"create": spec, "stop": spec.name}
    workers = [place.start_worker(method, arguments[method]) for method in methods]
    for worker in workers:
        answer_of(worker)
        places.end(worker)
    box = place.box(spec.name)
    wait_until(lambda: len(harnesses(box)) <= 1, "one harness at most is left")
    asyncio.run(place.connect().stop(spec.name))
    assert harnesses(box) == []
    assert not box.exists()


def test_a_supervisor_that_is_killed_takes_its_harness_along(place: Place) -> None:
    spec, backend = make_spec(), place.connect()
    start(backend, spec)
    record = boxes.read_record(place.box(spec.name))
    assert record
    os.kill(record["pid"], signal.SIGKILL)
    wait_until(lambda: not harnesses(place.box(spec.name)), "the harness is gone")
    [sandbox] = asyncio.run(backend.list())
    assert not sandbox.is_running
    assert start(backend, spec).url
    assert len(harnesses(place.box(spec.name))) == 1


def test_a_supervisor_that_stands_still_is_ended(place: Place) -> None:
    spec, backend = make_spec(), place.connect()
    start(backend, spec)
    record = boxes.read_record(place.box(spec.name))
    assert record
    os.kill(record["pid"], signal.SIGSTOP)
    asyncio.run(backend.stop(spec.name))
    assert harnesses(place.box(spec.name)) == []


@pytest.mark.parametrize("left", [[], ["lock", "record.json", "home"]])
def test_half_made_sandboxes_are_listed_remade_and_removed(place: Place, left: list[str]) -> None:
    spec, backend = make_spec(attempt=2), place.connect()
    assert asyncio.run(backend.list()) == []
    box = place.box(spec.name)
    half_make(box, left)
    [sandbox] = asyncio.run(backend.list())
    assert (sandbox.session_id, sandbox.attempt) == (spec.session_id, 2)
    assert not sandbox.is_running
    asyncio.run(backend.stop(spec.name))
    assert not box.exists()
    half_make(box, left)
    assert start(backend, spec).is_running


def half_make(box: Path, left: list[str]) -> None:
    """What a crash leaves behind."""
    box.mkdir()
    for name in left:
        (box / name).touch()
    subprocess.run(["chown", "-R", f"--reference={box.parent}", str(box)], check=True)
