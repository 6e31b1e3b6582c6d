"""What a sandbox gets, and what it does not get, of the machine and of its neighbours."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from sessions.sandboxes import boxes, interpreter, isolation
from sessions.sandboxes.base import SandboxError
from sessions.sandboxes.limits import Limits
from sessions.sandboxes.local import LocalBackend
from tests.sessions.sandboxes import places
from tests.sessions.sandboxes.client import ask, ignore, make_spec, start, wait_until
from tests.sessions.sandboxes.places import Place, harnesses

pytestmark = pytest.mark.slow
as_root = pytest.mark.parametrize("place", ["root"], indirect=True)
both = pytest.mark.parametrize("place", ["root", "user"], indirect=True)
here = pytest.mark.parametrize("place", ["root" if places.IS_ROOT else "user"], indirect=True)
separated = pytest.mark.parametrize("place", ["root", "root-bwrap", "user-bwrap"], indirect=True)

GIVEN = {"PATH", "LANG", "HOME", "TMPDIR", "PORT", "SANDBOX_MARK"}
SHELL_SETS = {"PWD", "SHLVL", "_", "OLDPWD"}


def stand_in(folder: Path, code: str) -> Path:
    """A harness that does something else."""
    harness = folder / "stand-in"
    harness.mkdir()
    (harness / "__main__.py").write_text(code)
    return harness


def test_it_says_what_to_choose_for_a_harness_it_lacks(tmp_path: Path) -> None:
    backend = LocalBackend(tmp_path)
    with pytest.raises(
        SandboxError, match=r'harness "opencode" is not installed.*"shell"'
    ) as caught:
        asyncio.run(backend.create(make_spec(harness_id="opencode")))
    assert (caught.value.kind, caught.value.permanent) == ("harness_not_installed", True)


def test_the_host_names_machine_and_root(tmp_path: Path) -> None:
    assert LocalBackend(tmp_path).host == f"{socket.gethostname()}:{tmp_path}"


@both
def test_the_environment_is_scrubbed(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgres://secret")
    monkeypatch.setenv("LAP_SECRET_KEY", "secret")
    spec = make_spec(env={"MINE": "1"})
    lines = ask(start(place.connect(), spec), spec, "env").splitlines()
    assert {line.partition("=")[0] for line in lines} - SHELL_SETS == {*GIVEN, "MINE"}


@both
def test_secrets_are_in_no_argument_and_no_file(place: Place) -> None:
    spec = make_spec(env={"API_KEY": "hunter2"})
    start(place.connect(), spec)
    assert places.running("hunter2") == []
    assert places.running(spec.harness_token) == []
    for word in ("hunter2", spec.harness_token):
        found = subprocess.run(["grep", "-rlsI", word, str(place.root)], capture_output=True)
        assert found.stdout == b""


@separated
def test_neighbours_and_the_platform_cannot_be_read(place: Place) -> None:
    one, other = make_spec(), make_spec()
    sandbox, spy = start(place.connect(), one), start(place.connect(), other)
    ask(sandbox, one, "echo secret > secret; chmod 777 secret . 2>/dev/null; chmod 700 .")
    box = place.box(one.name)
    targets = [box / "home/secret", box / "log", box / "record.json", box / "run/port"]
    assert (box / "home/secret").exists()
    script = f"cat {' '.join(map(str, targets))}; ls {box} {place.box(other.name).parent}"
    seen = ask(spy, other, f"({script}) 2>/dev/null; true")
    assert "secret" not in seen
    assert one.name not in seen
    assert "session_id" not in seen


@separated
def test_neighbours_cannot_be_killed(place: Place) -> None:
    one, other = make_spec(), make_spec()
    sandbox, hostile = start(place.connect(), one), start(place.connect(), other)
    record = boxes.read_record(place.box(other.name))
    assert record
    with suppress(OSError):  # it kills its own harness too
        ask(hostile, other, f"kill -9 {record['pid']}; kill -9 -1", path="prompt_async")
    wait_until(lambda: not harnesses(place.box(other.name)), "it has killed all it can")
    assert ask(sandbox, one, "echo alive") == "alive\n"


@pytest.mark.parametrize("place", ["root-bwrap", "user-bwrap"], indirect=True)
def test_bubblewrap_hides_the_machine(place: Place) -> None:
    spec = make_spec()
    sandbox = start(place.connect(), spec)
    (place.folder / "marker").touch()
    seen = ask(
        sandbox, spec, f"ls {place.folder} /tmp / 2>&1; touch /usr/x /x 2>&1; ls /proc; true"
    )
    assert "marker" not in seen
    assert "root" not in seen.split()
    assert seen.count("Read-only file system") == 2
    assert str(os.getpid()) not in seen.split()


@as_root
def test_every_sandbox_has_a_user_id_of_its_own(place: Place) -> None:
    specs = [make_spec() for _ in range(4)]
    with ThreadPoolExecutor() as pool:
        sandboxes = list(pool.map(lambda spec: start(place.connect(), spec), specs))
    said = [
        ask(sandbox, spec, "id -u; id -G") for sandbox, spec in zip(sandboxes, specs, strict=True)
    ]
    assert len(set(said)) == 4
    for text in said:
        uid, groups = text.split("\n")[:2]
        assert 200_000 <= int(uid) < 265_536
        assert groups == uid


@as_root
def test_user_ids_are_given_back_and_their_end_is_said(place: Place) -> None:
    uids = range(300_000, 300_004)  # one pair, and the one that is kept for trying things out
    backend, spec = place.connect(uids=uids), make_spec()
    start(backend, spec)
    with pytest.raises(SandboxError, match="all 1 user ids between 300000 and 300001 are taken"):
        asyncio.run(backend.create(make_spec()))
    asyncio.run(backend.stop(spec.name))
    assert ask(start(backend, spec), spec, "id -u") == "300000\n"


@as_root
def test_privileges_cannot_be_regained(place: Place) -> None:
    spec = make_spec()
    seen = ask(
        start(place.connect(), spec), spec, "grep -E 'NoNewPrivs|CapEff|CapPrm' /proc/self/status"
    )
    assert seen.split() == ["CapPrm:", "0" * 16, "CapEff:", "0" * 16, "NoNewPrivs:", "1"]


@as_root
def test_a_private_root_is_replaced_by_a_reachable_place(place: Place) -> None:
    place.folder.chmod(0o700)
    spec, backend = make_spec(), place.connect()
    assert ask(start(backend, spec), spec, "pwd").startswith("/var/lib/lap/sandboxes-")
    [again] = asyncio.run(place.connect().list())
    assert again.name == spec.name
    asyncio.run(backend.stop(spec.name))


@pytest.mark.skipif(not places.IS_ROOT, reason="needs root")
def test_a_place_is_forgotten_with_its_root(tmp_path: Path) -> None:
    gone, stays = tmp_path / "gone", tmp_path / "stays"
    tmp_path.chmod(0o700)
    bases = [isolation.reachable_base(root) for root in (gone, stays)]
    gone.rmdir()
    isolation.reachable_base(stays)
    assert [base.exists() for base in bases] == [False, True]
    stays.rmdir()


@as_root
def test_a_foreign_directory_is_refused(place: Place) -> None:
    (place.root / "boxes").mkdir()
    shutil.chown(place.root / "boxes", 61_235)
    with pytest.raises(SandboxError, match="only user id 0 can write to") as caught:
        asyncio.run(place.connect().create(make_spec()))
    shutil.chown(place.root / "boxes", 0)
    assert caught.value.permanent


@here
def test_limits_hold(place: Place) -> None:
    limits = Limits(data_bytes=512 * 1024**2, open_files=100, file_bytes=1024**2)
    spec, backend = make_spec(), place.connect(limits=limits)
    sandbox = start(backend, spec)
    assert ask(sandbox, spec, "ulimit -n; ulimit -c; ulimit -d").split() == ["100", "0", "524288"]
    assert (
        ask(sandbox, spec, "head -c 2000000 /dev/zero > big; wc -c < big").split()[-1] == "1048576"
    )
    hungry = "/usr/bin/python3 -c 'bytearray(10**9)' 2>&1 | tail -1"
    assert "MemoryError" in ask(sandbox, spec, hungry)


@here
def test_a_flood_of_output_is_bounded(place: Place) -> None:
    code = "while True: print('flood ' * 1000, flush=True)"
    harness = stand_in(place.folder, code)
    limits = Limits(log_bytes=400_000)
    backend, spec = place.connect(harness=harness, limits=limits), make_spec()
    asyncio.run(backend.create(spec))
    box = place.box(spec.name)
    wait_until((box / boxes.OLD_LOG).exists, "the log has turned once")
    first = (box / boxes.OLD_LOG).stat().st_ino
    wait_until(lambda: (box / boxes.OLD_LOG).stat().st_ino != first, "it has turned again")
    assert sum(path.stat().st_size for path in box.glob("log*")) <= 400_000
    assert "flood" in asyncio.run(backend.logs(spec.name))
    asyncio.run(backend.stop(spec.name))


@here
def test_an_early_death_is_told_with_the_last_output(place: Place) -> None:
    harness = stand_in(place.folder, "raise SystemExit('no luck today')")
    with pytest.raises(SandboxError, match="no luck today") as caught:
        start(place.connect(harness=harness), make_spec())
    assert (caught.value.kind, caught.value.permanent) == ("sandbox_start_failed", False)


@here
@pytest.mark.parametrize("trick", ["link", "pipe", "text", "port of another"])
def test_the_port_file_cannot_mislead(place: Place, trick: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        code = PORT_TRICKS.replace("TRICK", trick).replace("PORT", str(port))
        backend = place.connect(harness=stand_in(place.folder, code))
        spec = make_spec()
        sandbox = asyncio.run(backend.create(spec))
        ready = place.box(spec.name) / "home" / "done"
        wait_until(ready.exists, "the trick is played")

        async def look() -> None:
            async with asyncio.timeout(0.1):
                await backend.wait_ready(sandbox, ignore)

        if trick == "port of another" and not places.IS_ROOT:
            pytest.skip("the same user")
        with pytest.raises(TimeoutError):
            asyncio.run(look())


PORT_TRICKS = """
import os, sys, time
path = sys.argv[sys.argv.index("--port-file") + 1]
if "TRICK" == "link":
    open("other", "w").write("PORT")
    os.symlink(os.path.abspath("other"), path)
elif "TRICK" == "pipe":
    os.mkfifo(path)
else:
    open(path, "w").write("PORT" if "TRICK" == "port of another" else "abc" * 10**6)
open("done", "w").close()
time.sleep(100)
"""


@here
def test_garbage_in_the_root_is_passed_over(place: Place) -> None:
    spec, backend = make_spec(), place.connect()
    sandbox = start(backend, spec)
    folder = place.box("garbage")
    folder.mkdir()
    (folder / "record.json").write_text('{"pid": "x", "boot": 1}')
    place.box("a-file").touch()
    place.box(".hidden").mkdir()
    place.box("UPPER case").mkdir()
    place.box("a-link").symlink_to("/etc")
    assert asyncio.run(backend.list()) == [sandbox]
    for name in ("../../etc", "UPPER case", "", "."):
        asyncio.run(backend.stop(name))
        assert asyncio.run(backend.logs(name)) == ""


def test_no_interpreter_is_said_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interpreter, "SYSTEM_PYTHONS", ("/nowhere/python3",))
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    interpreter.find.cache_clear()
    with pytest.raises(SandboxError, match="apt-get install python3") as caught:
        interpreter.find(None)
    assert (caught.value.kind, caught.value.permanent) == ("no_interpreter", True)


@here
def test_bubblewrap_that_fails_is_done_without(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    fake = place.folder / "bwrap"
    fake.write_text("#!/bin/sh\necho no namespaces here >&2; exit 1\n")
    fake.chmod(0o755)
    assert start(place.connect(bwrap=str(fake)), make_spec()).is_running
    assert "run without it: no namespaces here" in caplog.text
