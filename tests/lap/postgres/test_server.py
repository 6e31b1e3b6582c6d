"""The embedded PostgreSQL: its address, its start and its stop, with real processes."""

import os
import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import psycopg
import pytest

from lap.postgres import (
    PostgresError,
    Server,
    address,
    connection,
    url,
)
from lap.postgres import server as module
from tests.lap.postgres.servers import (
    FAST,
    NAMELESS_UID,
    as_root,
    eventually,
    members,
    postmaster,
    query,
    slow,
)

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


@slow
def test_trouble_with_files_is_explained(server: Server) -> None:
    server.log.unlink(missing_ok=True)
    server.log.symlink_to("/dev/null")
    with pytest.raises(PostgresError, match=r"cannot be started: .*postgres\.log"):
        server.start()
