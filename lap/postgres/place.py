"""Where files lie that PostgreSQL must reach when it does not run as their owner, root.

Usually inside the data directory, and the binaries in the wheel. But a stand-in for root cannot
pass, say, /root. Then both lie here, outside, and no directory's permissions are loosened.
"""

import contextlib
import hashlib
import shutil
import tempfile
from pathlib import Path

from lap.postgres import address
from lap.postgres.errors import PostgresError
from lap.postgres.identity import Identity

OUTSIDE = Path("/var/lib/lap-postgres")


def for_cluster(data_dir: Path, identity: Identity) -> Path:
    """Return the directory that holds, or is to hold, the database's files."""
    inside = data_dir / "cluster"
    if inside.is_symlink() and not inside.exists():
        raise PostgresError(
            f"The database was kept in {inside.readlink()}, which is gone. "
            f"Bring it back, or delete {inside} to begin with an empty database."
        )
    if inside.exists():
        place = inside.resolve().parent
        if not identity.reaches(place):
            raise PostgresError(
                f"PostgreSQL has to run as user {identity.uid} here, who cannot reach {place}. "
                "Allow user namespaces, move the data to a directory that others may pass, "
                "or run as another user than root."
            )
        return place
    return data_dir if identity.reaches(data_dir) else _outside(data_dir)


def for_binaries(home: Path, identity: Identity) -> Path:
    """Return where PostgreSQL's installation can be run from: `home` or a copy of it."""
    if identity.reaches(home / "bin" / "postgres"):
        return home
    _make(OUTSIDE)
    stat = (home / "bin" / "postgres").stat()
    version = hashlib.sha256(f"{home} {stat.st_mtime_ns} {stat.st_size}".encode()).hexdigest()[:16]
    copy = OUTSIDE / f"binaries-{version}"
    if not copy.exists():
        _copy(home, copy)
    return copy / home.parent.name / home.name


def remove(data_dir: Path) -> None:
    """Delete the database's files. Copied binaries stay: other servers may run from them."""
    inside, outside = data_dir / "cluster", OUTSIDE / address.name(data_dir)
    inside.unlink() if inside.is_symlink() else shutil.rmtree(inside, ignore_errors=True)
    shutil.rmtree(outside, ignore_errors=True)
    with contextlib.suppress(OSError):
        OUTSIDE.rmdir()


def _outside(data_dir: Path) -> Path:
    place = OUTSIDE / address.name(data_dir)
    _make(OUTSIDE)
    _make(place)
    return place


def _make(directory: Path) -> None:
    try:
        directory.mkdir(mode=0o711, exist_ok=True)
        directory.chmod(0o711)  # whatever the umask is: others may pass, not look
    except OSError as error:
        raise PostgresError(f"PostgreSQL needs a directory outside: {error}.") from error


def _copy(home: Path, copy: Path) -> None:
    """Copy the installation with the libraries that auditwheel laid beside its package."""
    draft = Path(tempfile.mkdtemp(prefix="binaries.new-", dir=OUTSIDE))
    draft.chmod(0o711)
    package = home.parent
    shutil.copytree(
        home, draft / package.name / home.name, ignore=shutil.ignore_patterns("include", "*.a")
    )
    for libraries in package.parent.glob(f"{package.name}*.libs"):
        shutil.copytree(libraries, draft / libraries.name)
    with contextlib.suppress(OSError):  # another process was first
        draft.rename(copy)
    shutil.rmtree(draft, ignore_errors=True)
