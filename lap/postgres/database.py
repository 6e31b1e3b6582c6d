"""What LAP needs inside the server: its role and its database."""

from pathlib import Path

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from lap.postgres import address
from lap.postgres.cluster import SUPERUSER

CONNECT_SECONDS = 30


def ensure(data_dir: Path) -> None:
    """Create role and database `lap` unless they exist. The caller holds the start lock.

    The role may create databases, for tests; it is no superuser.
    """
    keywords = address.connection(data_dir, "postgres") | {
        "user": SUPERUSER,
        "password": address.password(data_dir, SUPERUSER),
        "connect_timeout": str(CONNECT_SECONDS),
    }
    with psycopg.connect(make_conninfo("", **keywords), autocommit=True) as db:
        if not db.execute("select 1 from pg_roles where rolname = 'lap'").fetchone():
            # Only the hash travels, so that no log can show the password.
            password = address.password(data_dir, address.ROLE).encode()
            hashed = db.pgconn.encrypt_password(password, b"lap", b"scram-sha-256").decode()
            db.execute(sql.SQL("create role lap login createdb password {}").format(hashed))
        if not db.execute("select 1 from pg_database where datname = 'lap'").fetchone():
            db.execute("create database lap owner lap")
