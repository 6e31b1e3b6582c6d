"""The embedded PostgreSQL when several start it, and when something was killed."""

import shutil
import signal
import threading
from pathlib import Path

import psutil
import psycopg
import pytest

from lap.postgres import (
    Server,
    connection,
)
from tests.lap.postgres.servers import START, eventually, members, postmaster, query, script, slow


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
