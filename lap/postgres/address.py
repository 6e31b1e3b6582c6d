"""How to reach the server: derived from its data directory alone, without starting anything."""

import contextlib
import hashlib
import hmac
import os
import secrets
import stat
import tempfile
from pathlib import Path
from urllib.parse import quote

from lap.postgres.errors import PostgresError
from lap.postgres.identity import SERVICE_UID

PORT = 5432  # a part of the socket's name; nothing listens on the network
ROLE = "lap"
# Not XDG_RUNTIME_DIR, nor TMPDIR: two processes of one user need not agree about them, and a
# logout empties the former under a running server.
SOCKET_ROOT = Path("/tmp")  # noqa: S108 - the directory made there is private and verified


def connection(data_dir: Path, database: str = "lap") -> dict[str, str]:
    """Return the libpq keywords for `database`: host, port, user, password, dbname."""
    return {
        "host": str(socket_dir(data_dir)),
        "port": str(PORT),
        "user": ROLE,
        "password": password(data_dir, ROLE),
        "dbname": database,
    }


def url(data_dir: Path, database: str = "lap") -> str:
    """Return `connection()` as a URL, with the socket directory percent-encoded as its host."""
    keywords = {k: quote(v, safe="") for k, v in connection(data_dir, database).items()}
    return "postgresql://{user}:{password}@{host}:{port}/{dbname}".format(**keywords)


def password(data_dir: Path, role: str) -> str:
    """Return the password of `role`. Who knows one role's password does not know the others'."""
    return _derive(data_dir, f"password of {role}")


def name(data_dir: Path) -> str:
    """Return the name by which this server's socket directory and processes are known."""
    return "lap-" + _derive(data_dir, f"name {os.geteuid()} {data_dir.resolve()}")[:16]


def socket_dir(data_dir: Path) -> Path:
    """Make sure of the private directory for the server's socket and return it.

    It exists from the first time that somebody asks for the address, so that nobody else can
    wait for clients there.
    """
    path = SOCKET_ROOT / name(data_dir)
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode=0o700)
    found = path.lstat()
    owners = {os.geteuid(), SERVICE_UID if os.geteuid() == 0 else os.geteuid()}
    if not stat.S_ISDIR(found.st_mode) or found.st_uid not in owners or found.st_mode & 0o077:
        raise PostgresError(
            f"{path} should be a private directory of user {os.geteuid()} for PostgreSQL's "
            "socket, but somebody else made it or opened it. Remove it, then try again."
        )
    return path


def prepare(data_dir: Path) -> None:
    """Make sure that the data directory exists and is ours."""
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise PostgresError(f"Cannot make the data directory: {error}.") from error
    found = data_dir.stat()
    if found.st_uid != os.geteuid():
        raise PostgresError(
            f"{data_dir} belongs to user {found.st_uid}, but this process runs as user "
            f"{os.geteuid()}. Run it as that user or use another data directory."
        )
    if found.st_mode & stat.S_IWOTH:
        raise PostgresError(
            f"Everybody may write to {data_dir}. Close it (chmod o-w) or use another directory."
        )


def _derive(data_dir: Path, purpose: str) -> str:
    return hmac.new(_secret(data_dir), purpose.encode(), hashlib.sha256).hexdigest()


def _secret(data_dir: Path) -> bytes:
    """Read the data directory's secret; the first caller makes it."""
    path = data_dir / "password"
    try:
        return path.read_bytes()
    except FileNotFoundError:
        prepare(data_dir)
        _publish(path, secrets.token_hex(32).encode())
        return path.read_bytes()
    except OSError as error:
        raise PostgresError(f"Cannot read the database password: {error}.") from error


def _publish(path: Path, content: bytes) -> None:
    """Write a file that appears complete or not at all; if another process is first, it wins."""
    descriptor, draft = tempfile.mkstemp(prefix=".password-", dir=path.parent)  # 0600
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
    finally:
        Path(draft).unlink()
