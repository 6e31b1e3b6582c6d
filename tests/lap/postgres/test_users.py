"""The embedded PostgreSQL under real users."""

import os
import shutil
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lap.postgres import (
    PostgresError,
    Server,
    binaries,
    identity,
    place,
)
from tests.lap.postgres.servers import (
    FAST,
    NAMELESS_UID,
    as_root,
    members,
    postmaster,
    query,
    script,
    slow,
)


@slow
@as_root
@pytest.mark.parametrize("reachable", [True, False])
def test_root_without_user_namespaces(data_dir: Path, reachable: bool) -> None:
    """PostgreSQL runs as somebody else, who may not be able to pass the data directory."""
    parents = [data_dir, *data_dir.parents]
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in parents[1:]}
    if reachable:
        data_dir = Path("/var/tmp") / f"lap-{os.urandom(8).hex()}"
        data_dir.mkdir(mode=0o755)
    server = Server(data_dir, settings=FAST, namespaces=False)
    try:
        with server:
            query(server, "create table kept as select 42 as answer")
            assert {member.uids().real for member in members(server)} == {identity.SERVICE_UID}
            cluster = (data_dir / "cluster").resolve()
            assert cluster.is_relative_to(data_dir) == reachable
            assert {path.lstat().st_uid for path in cluster.rglob("*")} == {identity.SERVICE_UID}
        with server:
            assert query(server, "select answer from kept") == 42
            postmaster(server).kill()
            server.start()
            assert query(server, "select answer from kept") == 42
    finally:
        server.remove()
    assert not cluster.exists()
    assert modes == {path: stat.S_IMODE(path.stat().st_mode) for path in parents[1:]}


@slow
@as_root
def test_root_may_change_between_namespace_and_user() -> None:
    data_dir = Path("/var/tmp") / f"lap-{os.urandom(8).hex()}"
    data_dir.mkdir(mode=0o755)
    try:
        for namespaces, uid in [(True, 0), (False, identity.SERVICE_UID), (True, 0)]:
            with Server(data_dir, settings=FAST, namespaces=namespaces) as server:
                assert postmaster(server).uids().real == uid
                query(server, "create table if not exists kept (answer int)")
    finally:
        Server(data_dir).remove()


@slow
@as_root
def test_binaries_out_of_reach_are_copied(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = binaries.find().parent
    for part in package.parent.glob(f"{package.name}*"):
        if part.is_dir() and part.suffix != ".dist-info":
            shutil.copytree(part, tmp_path / "site" / part.name)
    tmp_path.chmod(0o700)
    monkeypatch.syspath_prepend(tmp_path / "site")
    assert binaries.find().is_relative_to(tmp_path)
    server = Server(data_dir, settings=FAST, namespaces=False)
    try:
        with server:
            program = Path(postmaster(server).exe())
            query(server, "create extension pg_trgm")
        assert not program.is_relative_to(tmp_path)
    finally:
        server.remove()
        shutil.rmtree(program.parents[3])
    if not any(place.OUTSIDE.iterdir()):
        place.OUTSIDE.rmdir()


@slow
@as_root
def test_files_that_are_gone_are_not_made_again_in_silence(data_dir: Path) -> None:
    server = Server(data_dir, settings=FAST, namespaces=False)
    with server:
        cluster = (data_dir / "cluster").resolve()
    shutil.rmtree(cluster.parent)
    with pytest.raises(PostgresError, match=f"kept in {cluster}, which is gone"):
        server.start()
    server.remove()


@as_root
def test_root_without_any_way_is_told(data_dir: Path) -> None:
    """In a namespace of its own, root can be forbidden both."""
    code = """
from pathlib import Path
import sys
from lap.postgres import PostgresError, Server
Path("/proc/sys/user/max_user_namespaces").write_text("0")
try:
    Server(Path(sys.argv[1])).start()
except PostgresError as error:
    print(error)
"""
    launch = [sys.executable, str(identity.LAUNCH), "namespace", "0"]
    child = script(code, data_dir, command=launch)
    out, err = child.communicate()
    assert "may neither use user namespaces nor become another user" in out, err
    Server(data_dir).remove()


ORDINARY = """
import os, sys
from pathlib import Path
import psycopg
from lap.postgres import PostgresError, Server
namespaces = {"yes": True, "no": False, "probe": None}[sys.argv[2]]
server = Server(Path(sys.argv[1]), settings={"fsync": "off"}, namespaces=namespaces)
try:
    for _ in range(2):
        with server, psycopg.connect(server.url(), autocommit=True) as db:
            db.execute("create extension if not exists pg_trgm")
            owner = (server.data_dir / "cluster" / "postmaster.pid").stat().st_uid
            print(owner == os.geteuid() != 0)
except PostgresError as error:
    print(error)
finally:
    server.remove()
"""


def run_as(uid: int, home: Path, namespaces: str) -> str:
    """Run the life of a server as another user, with a Python that this user can reach."""
    home.mkdir(mode=0o700)
    os.chown(home, uid, uid)
    user: dict[str, Any] = {"user": uid, "group": uid, "extra_groups": [], "cwd": "/"}
    for python in (sys.executable, f"/usr/bin/python3.{sys.version_info.minor}"):
        try:
            child = script(ORDINARY, home / "data", namespaces, python=python, **user)
        except (PermissionError, FileNotFoundError):
            continue
        out, err = child.communicate()
        assert child.returncode == 0, err
        return str(out)
    pytest.skip(f"there is no Python that user {uid} can run")


@pytest.fixture
def home() -> Iterator[Path]:
    """A directory that others can reach; pytest's own are closed."""
    path = Path("/var/tmp") / f"lap-{os.urandom(8).hex()}"
    yield path
    shutil.rmtree(path)


@slow
@as_root
@pytest.mark.parametrize(("uid", "namespaces"), [(1, "probe"), (1, "no"), (NAMELESS_UID, "yes")])
def test_an_ordinary_user(home: Path, uid: int, namespaces: str) -> None:
    assert run_as(uid, home, namespaces) == "True\nTrue\n"
    assert list(home.iterdir()) == []


@slow
@as_root
def test_a_user_without_a_name_needs_a_namespace(home: Path) -> None:
    assert "Add the user to /etc/passwd" in run_as(NAMELESS_UID, home, "no")
