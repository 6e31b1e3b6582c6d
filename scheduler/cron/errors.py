"""The one error of this package, and how it echoes what a user typed."""

import reprlib

_ECHO_LIMIT = 100
_RISKY = frozenset('"<>&\\')


class CronError(ValueError):
    """A schedule or time zone that cannot be used; its text is a sentence for the user."""

    @classmethod
    def schedule(cls, expression: object, reason: str) -> "CronError":
        """Name the bad expression; `reason` says what is wrong and what to write instead."""
        return cls(f'invalid cron_schedule "{echo(expression)}": {reason}')

    @classmethod
    def timezone(cls, timezone: object) -> "CronError":
        """Name the bad time zone, in the words of the API's contract."""
        return cls(
            f'invalid cron_timezone "{echo(timezone)}" — '
            "must be an IANA name (e.g. America/Los_Angeles)"
        )


def echo(value: object) -> str:
    """Return `value` for a log line or page: printable ASCII, bounded, free of markup.

    Everything else is escaped as Python would write it, so that a full-width digit, a
    line break or a NUL can be seen; longer text ends with an ellipsis.
    """
    text = value if isinstance(value, str) else _bounded_repr(value)
    shown = "".join(map(_visible, text[:_ECHO_LIMIT]))
    return f"{shown}…" if len(text) > _ECHO_LIMIT else shown


def _visible(character: str) -> str:
    if " " <= character <= "~" and character not in _RISKY:
        return character
    if character in _RISKY:
        return f"\\x{ord(character):02x}"
    return character.encode("unicode_escape").decode()


def _bounded_repr(value: object) -> str:
    try:
        return reprlib.repr(value)
    except Exception:  # an integer of 5,000 digits, or somebody's __repr__
        return type(value).__name__
