"""Who runs PostgreSQL. It refuses to be root, and initdb wants a user that has a name."""

import os
import pwd
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lap.postgres.errors import PostgresError

LAUNCH = Path(__file__).with_name("launch.py")
SERVICE_UID = 64_205  # root's stand-in where user namespaces are forbidden; nobody else's id
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}
TIMEOUT_SECONDS = 30
DEFAULT_SIGNALS = [signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGPIPE]


@dataclass(frozen=True)
class Identity:
    """One way to run PostgreSQL's programs.

    `uid` owns their files, seen from outside; `who` is the user id they see themselves.
    """

    how: Literal["self", "namespace", "user"]
    uid: int
    who: int = 0

    def can(self, *command: str) -> bool:
        """Try this identity, or whether it can do what `command` says."""
        arguments, environment = self._launcher(command)
        return not subprocess.run(
            arguments, capture_output=True, env=environment, timeout=TIMEOUT_SECONDS, check=False
        ).returncode

    def reaches(self, path: Path) -> bool:
        """Say whether this identity can pass all directories above `path`, and enter or run it."""
        return self.how == "self" or self.can("test-x", str(path))

    def spawn(self, command: list[str], *, log: int, lock: int) -> int:
        """Start `command` in a session of its own, out of a terminal's reach; return its id.

        It writes to `log`. It and all its descendants keep `lock`, as long as one of them lives.
        """
        arguments, environment = self._launcher(tuple(command))
        return os.posix_spawn(
            arguments[0],
            arguments,
            environment,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_DUP2, log, 1),
                (os.POSIX_SPAWN_DUP2, log, 2),
                (os.POSIX_SPAWN_DUP2, lock, 3),
            ],
            setsid=True,
            setsigmask=[],
            setsigdef=DEFAULT_SIGNALS,
        )

    def _launcher(self, command: tuple[str, ...]) -> tuple[list[str], dict[str, str]]:
        arguments = [sys.executable, "-I", "-S", str(LAUNCH), self.how, str(self.who), *command]
        libraries = os.environ.get("LD_LIBRARY_PATH")
        return arguments, ENVIRONMENT | ({"LD_LIBRARY_PATH": libraries} if libraries else {})


def choose(namespaces: bool | None = None) -> Identity:
    """Return the identity for this process. `namespaces` overrides whether they are allowed.

    Raises PostgresError if there is none.
    """
    uid = os.geteuid()
    if uid != 0 and _has_name(uid):
        return Identity("self", uid)
    namespace = Identity("namespace", uid, _named_uid())
    if namespaces if namespaces is not None else namespace.can():
        return namespace
    stand_in = Identity("user", SERVICE_UID, SERVICE_UID)
    if uid == 0 and not stand_in.can():
        raise PostgresError(
            "PostgreSQL refuses to run as root, and here root may neither use user namespaces "
            "nor become another user. Run as another user, or point DATABASE_URL at a server."
        )
    return Identity("self", uid) if uid else stand_in


def for_initdb(identity: Identity) -> Identity:
    """Return who runs initdb for `identity`: somebody with a name, which `SERVICE_UID` has not."""
    if identity.how == "user":
        return Identity("user", uid := _named_uid(), uid)
    if identity.how == "self" and not _has_name(identity.uid):
        raise PostgresError(
            f"PostgreSQL cannot make a database for user {identity.uid}, who has no name. Add the "
            "user to /etc/passwd, allow user namespaces, or point DATABASE_URL at a server."
        )
    return identity


def _has_name(uid: int) -> bool:
    try:
        return bool(pwd.getpwuid(uid))
    except KeyError:
        return False


def _named_uid() -> int:
    for name in ("nobody", "daemon"):
        try:
            return pwd.getpwnam(name).pw_uid
        except KeyError:
            continue
    return next((user.pw_uid for user in pwd.getpwall() if user.pw_uid), 65_534)
