"""The embedded PostgreSQL, with real processes and real users."""

import os
import shutil
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from lap.postgres import (
    PostgresError,
    Server,
    address,
    binaries,
    connection,
    identity,
    place,
    process,
    url,
    waiting,
)
from lap.postgres import server as module

ROOT = Path(__file__).resolve().parents[2]
FAST = {"fsync": "off", "shared_buffers": "16MB"}
NAMELESS_UID = 12_345
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
slow = pytest.mark.slow


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def fresh(data_dir: Path) -> Iterator[Server]:
    """A server that was never started."""
    server = Server(data_dir, settings=FAST)
    yield server
    server.remove()


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    server = Server(tmp_path_factory.mktemp("template"), settings=FAST)
    with server:
        pass
    yield server.data_dir
    server.remove()


@pytest.fixture
def server(fresh: Server, template: Path) -> Server:
    """A server that was started once and stopped."""
    shutil.copytree(template, fresh.data_dir, ignore=shutil.ignore_patterns("*.l*"))
    return fresh


def query(server: Server, statement: str) -> Any:
    """Run a statement and return the first value, if it has one."""
    with psycopg.connect(server.url(), autocommit=True) as db:
        cursor = db.execute(statement.encode())
        row = cursor.fetchone() if cursor.description else None
    return row and row[0]


def postmaster(server: Server) -> psutil.Process:
    found = process.postmaster((server.data_dir / "cluster").resolve())
    assert found is not None
    return found


def members(server: Server) -> list[psutil.Process]:
    cluster = (server.data_dir / "cluster").resolve()
    return list(process.members(cluster, address.name(server.data_dir)))


def eventually(condition: Any) -> None:
    assert waiting.until(lambda: condition() or None, 30)


def script(
    code: str,
    *arguments: object,
    python: str = sys.executable,
    command: Sequence[str] = (),
    **options: Any,
) -> Any:
    """Start a Python process that runs `code` with the package at hand, perhaps by `command`."""
    path = [str(ROOT), str(Path(psycopg.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    return subprocess.Popen(
        [*command, python, "-c", code, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


START = """
import sys
from pathlib import Path
from lap.postgres import Server
server = Server(Path(sys.argv[1]), settings={"fsync": "off", "shared_buffers": "16MB"})
print("here", flush=True)
sys.stdin.readline()
server.start()
print("started", flush=True)
sys.stdin.read()
"""


# The address, without a server


def test_url_needs_no_server(data_dir: Path) -> None:
    first = url(data_dir)
    assert url(data_dir) == Server(data_dir).url() == first
    assert first.startswith("postgresql://lap:")
    assert "@%2Ftmp%2Flap-" in first
    assert first.endswith(":5432/lap")
    assert url(data_dir, "other").endswith("/other")
    assert psycopg.conninfo.conninfo_to_dict(first) == connection(data_dir)
    assert stat.S_IMODE((data_dir / "password").stat().st_mode) == 0o600
    assert {path.name for path in data_dir.iterdir()} == {"password"}
    Server(data_dir).remove()


def test_concurrent_first_callers_agree(data_dir: Path) -> None:
    barrier = threading.Barrier(8)

    def ask() -> str:
        barrier.wait()
        return url(data_dir)

    with ThreadPoolExecutor(8) as pool:
        answers = {future.result() for future in [pool.submit(ask) for _ in range(8)]}
    assert len(answers) == 1
    Server(data_dir).remove()


def test_the_socket_path_is_short_however_deep_the_data_lies(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["a-rather-long-directory-name"] * 8)
    assert len(connection(deep)["host"] + "/.s.PGSQL.5432.lock") < 60
    Server(deep).remove()


def test_roles_do_not_share_a_password(data_dir: Path) -> None:
    assert address.password(data_dir, "lap") != address.password(data_dir, "postgres")
    assert (data_dir / "password").read_text() not in url(data_dir)
    Server(data_dir).remove()


@pytest.mark.parametrize("trick", ["open", "link", pytest.param("owner", marks=as_root)])
def test_a_squatted_socket_directory_is_refused(data_dir: Path, tmp_path: Path, trick: str) -> None:
    sockets = Path(connection(data_dir)["host"])
    if trick == "open":
        sockets.chmod(0o777)
    elif trick == "owner":
        os.chown(sockets, NAMELESS_UID, -1)
    else:
        sockets.rmdir()
        sockets.symlink_to(tmp_path)
    try:
        with pytest.raises(PostgresError, match="should be a private directory of user"):
            Server(data_dir, settings=FAST).start()
        with pytest.raises(PostgresError, match=str(sockets)):
            url(data_dir)
    finally:
        sockets.unlink() if sockets.is_symlink() else sockets.rmdir()


def test_a_data_directory_open_to_all_is_refused(data_dir: Path) -> None:
    data_dir.mkdir()
    data_dir.chmod(0o777)
    with pytest.raises(PostgresError, match="Everybody may write"):
        Server(data_dir).start()


@as_root
def test_somebody_elses_data_directory_is_refused(data_dir: Path) -> None:
    data_dir.mkdir()
    os.chown(data_dir, NAMELESS_UID, -1)
    with pytest.raises(PostgresError, match=f"belongs to user {NAMELESS_UID}"):
        Server(data_dir).start()


def test_stop_and_remove_without_a_server_do_nothing(data_dir: Path) -> None:
    Server(data_dir).stop()
    Server(data_dir).remove()
    assert not data_dir.exists()


# Starting and stopping


@slow
def test_first_start(fresh: Server) -> None:
    assert not fresh.is_running()
    fresh.start()
    assert fresh.is_running()
    assert query(fresh, "select current_user") == "lap"
    owner = "select datdba::regrole::text from pg_database where datname = 'lap'"
    assert query(fresh, owner) == "lap"
    assert query(fresh, "show is_superuser") == "off"
    assert query(fresh, "show timezone") == "UTC"
    assert query(fresh, "show listen_addresses") == ""
    assert query(fresh, "show fsync") == "off"  # ours
    assert query(fresh, "show data_checksums") == "on"
    assert query(fresh, "select count(*) from pg_extension") == 1  # plpgsql
    query(fresh, "create database test_lap")  # as test runners do


@slow
@pytest.mark.parametrize("extension", ["pg_trgm", "btree_gist"])
def test_contrib_modules_can_be_created(server: Server, extension: str) -> None:
    server.start()
    query(server, f"create extension {extension}")


@slow
def test_restart_keeps_data(server: Server) -> None:
    with server:
        query(server, "create table kept as select 42 as answer")
    assert not server.is_running()
    with server:
        assert query(server, "select answer from kept") == 42


@slow
def test_a_password_is_needed(server: Server) -> None:
    server.start()
    wrong = connection(server.data_dir) | {"password": "wrong"}
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(psycopg.conninfo.make_conninfo("", **wrong))


@slow
def test_it_lives_in_its_own_session_and_shows_no_secret(server: Server) -> None:
    server.start()
    first = postmaster(server)
    assert os.getsid(first.pid) == first.pid
    secrets = {(server.data_dir / "password").read_text()}
    secrets |= {address.password(server.data_dir, role) for role in ("lap", "postgres")}
    shown = " ".join(first.cmdline()) + server.log.read_text()
    assert not [secret for secret in secrets if secret in shown]


@slow
def test_descriptors_of_the_starter_do_not_leak(server: Server) -> None:
    reader, writer = os.pipe()
    os.set_inheritable(writer, True)
    server.start()
    os.close(writer)
    os.set_blocking(reader, False)
    assert os.read(reader, 1) == b""  # the end of the file: nobody else can write
    os.close(reader)


@slow
def test_starting_twice_does_nothing(server: Server) -> None:
    server.start()
    before = postmaster(server).pid
    server.start()
    Server(server.data_dir).start()
    assert postmaster(server).pid == before


@slow
def test_nothing_is_left_after_stop(server: Server) -> None:
    sockets = Path(connection(server.data_dir)["host"])
    children = psutil.Process().children()
    server.start()
    with psycopg.connect(server.url()) as idle:
        assert len(members(server)) > 3
        server.stop()
        assert members(server) == []
        assert list(sockets.iterdir()) == []
        assert psutil.Process().children() == children  # no zombie either
        with pytest.raises(psycopg.OperationalError):
            idle.execute("select 1")
    server.remove()
    assert not sockets.exists()
    assert not server.data_dir.exists()


@slow
def test_a_gentle_stop_waits_for_clients(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STOP_SECONDS", 0.2)
    server.start()
    with psycopg.connect(server.url()) as client:
        with pytest.raises(PostgresError, match="still has clients"):
            server.stop(fast=False)
        assert client.execute("select 1").fetchone() == (1,)
    eventually(lambda: not server.is_running())


@slow
def test_remove_leaves_other_peoples_files(server: Server) -> None:
    server.start()
    (server.data_dir / "mine").touch()
    server.remove()
    assert [path.name for path in server.data_dir.iterdir()] == ["mine"]
    (server.data_dir / "mine").unlink()


@slow
def test_a_bad_setting_is_reported_with_the_log(fresh: Server) -> None:
    bad = Server(fresh.data_dir, settings={**FAST, "shared_bufers": "1MB"})
    with pytest.raises(PostgresError, match=r"(?s)ended while starting.*shared_bufers"):
        bad.start()
    assert members(fresh) == []
    fresh.start()


@slow
def test_a_long_log_is_rotated(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOG_LIMIT_BYTES", 1000)
    with server:
        pass
    server.log.write_text("x" * 1001)
    with server:
        pass
    assert server.log.with_name("postgres.log.1").stat().st_size == 1001
    assert "ready to accept connections" in server.log.read_text()


# Several processes


@slow
def test_four_processes_start_at_once(fresh: Server) -> None:
    starters = [script(START, fresh.data_dir) for _ in range(4)]
    for starter in starters:
        assert starter.stdout.readline() == "here\n"
    for starter in starters:
        starter.stdin.write("go\n")
        starter.stdin.flush()
    for starter in starters:
        assert starter.stdout.readline() == "started\n", starter.stderr.read()
    for starter in starters:
        starter.communicate()
    log = fresh.log.read_text()
    assert log.count("starting PostgreSQL") == 1
    assert log.count("The files belonging to this database system") == 1
    assert not list(fresh.data_dir.glob("*.new-*"))
    assert query(fresh, "select 1") == 1  # it outlives those who started it
    fresh.stop()
    assert members(fresh) == []


@slow
@pytest.mark.parametrize("reaped", [True, False])
def test_it_survives_a_killed_postmaster(server: Server, reaped: bool) -> None:
    """Unreaped, the dead postmaster is a zombie, whose number still answers to signals."""
    starter = script(START, server.data_dir)
    starter.stdin.write("go\n")
    starter.stdin.flush()
    assert starter.stdout.readline() + starter.stdout.readline() == "here\nstarted\n"
    query(server, "create table kept as select 42 as answer")
    dead = postmaster(server)
    dead.kill()
    if reaped:
        starter.communicate()
    else:
        eventually(lambda: dead.status() == psutil.STATUS_ZOMBIE)
    assert not server.is_running()
    server.start()
    assert query(server, "select answer from kept") == 42
    assert reaped or dead.status() == psutil.STATUS_ZOMBIE
    starter.communicate()


@slow
def test_it_ends_a_busy_backend_that_outlived_its_postmaster(server: Server) -> None:
    server.start()
    query(server, "create table kept as select 42 as answer")
    with psycopg.connect(server.url(), autocommit=True) as busy:
        backend = psutil.Process(busy.info.backend_pid)

        def work() -> None:
            with pytest.raises(psycopg.OperationalError):
                busy.execute("do 'begin loop perform 1; end loop; end'")

        worker = threading.Thread(target=work)
        worker.start()
        active = f"select 1 from pg_stat_activity where pid = {backend.pid} and state = 'active'"
        eventually(lambda: query(server, active))
        postmaster(server).kill()
        eventually(lambda: not server.is_running())
        assert backend.is_running()  # it never looks
        server.start()
        worker.join()
    assert not backend.is_running() or backend.status() == psutil.STATUS_ZOMBIE
    assert query(server, "select answer from kept") == 42


@slow
@pytest.mark.parametrize("file", ["postmaster.pid", ".s.PGSQL.5432.lock"])
def test_a_pid_that_passed_on_to_a_stranger(server: Server, file: str) -> None:
    stranger = script("input()")
    server.start()
    query(server, "create table kept as select 42 as answer")
    sockets = Path(connection(server.data_dir)["host"])
    path = (sockets if file.startswith(".s") else server.data_dir / "cluster") / file
    lines = path.read_text().splitlines()
    first = postmaster(server)
    first.kill()
    eventually(lambda: not members(server))
    path.write_text("\n".join([str(stranger.pid), *lines[1:]]) + "\n")
    assert not server.is_running()
    server.stop()
    server.start()
    assert query(server, "select answer from kept") == 42
    assert stranger.poll() is None
    stranger.communicate("\n")


@slow
def test_a_killed_first_start_leaves_nothing_half_made(fresh: Server) -> None:
    starter = script(START, fresh.data_dir)
    starter.stdin.write("go\n")
    starter.stdin.flush()
    eventually(lambda: list(fresh.data_dir.glob("cluster.new-*/PG_VERSION")))
    starter.kill()
    starter.communicate()
    assert not (fresh.data_dir / "cluster").exists()
    fresh.start()
    assert query(fresh, "select 1") == 1
    assert not list(fresh.data_dir.glob("*.new-*"))
    assert not list(fresh.data_dir.glob(".initdb-*"))


@slow
def test_an_interrupted_start_stops_what_it_started(fresh: Server) -> None:
    starter = script(START, fresh.data_dir)
    starter.stdin.write("go\n")
    starter.stdin.flush()
    eventually(lambda: list(fresh.data_dir.glob("cluster.new-*/PG_VERSION")))
    starter.send_signal(signal.SIGINT)
    assert "KeyboardInterrupt" in starter.communicate()[1]
    assert not list(fresh.data_dir.glob(".initdb-*"))
    fresh.start()


@slow
def test_a_deleted_data_directory(server: Server) -> None:
    server.start()
    first, sockets = postmaster(server), Path(connection(server.data_dir)["host"])
    shutil.rmtree(server.data_dir)
    assert not server.is_running()
    server.stop()
    first.terminate()
    eventually(lambda: not first.is_running() or first.status() == psutil.STATUS_ZOMBIE)
    sockets.rmdir()


# Users


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


@slow
def test_trouble_with_files_is_explained(server: Server) -> None:
    server.log.unlink(missing_ok=True)
    server.log.symlink_to("/dev/null")
    with pytest.raises(PostgresError, match=r"cannot be started: .*postgres\.log"):
        server.start()


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
