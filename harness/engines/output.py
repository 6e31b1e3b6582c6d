"""Keeping the interesting part of an output that may be endless."""

from __future__ import annotations

OUTPUT_LIMIT = 1024 * 1024
_CONTINUATION = bytes(range(0x80, 0xC0))


class Output:
    """Keeps the first and the last half of ``limit`` bytes: how it began and why it ended."""

    def __init__(self, limit: int = OUTPUT_LIMIT) -> None:
        self._half = limit // 2
        self._head = bytearray()
        self._tail = bytearray()
        self.total = 0

    def write(self, data: bytes) -> None:
        """Take more output; memory stays within the limit and one chunk."""
        self.total += len(data)
        room = self._half - len(self._head)
        self._head += data[:room]
        self._tail += data[room:]
        del self._tail[: -self._half]

    @property
    def is_truncated(self) -> bool:
        """Whether something in the middle was dropped."""
        return self.total > len(self._head) + len(self._tail)

    def text(self) -> str:
        """As UTF-8, with what is not (and NUL) replaced by U+FFFD, a line where bytes lack."""
        if not self.is_truncated:
            return _decode(bytes(self._head + self._tail))
        note = (
            f"[output truncated: kept the first {len(self._head)} "
            f"and the last {len(self._tail)} of {self.total} bytes]"
        )
        return f"{_decode(_whole_end(self._head))}\n{note}\n{_decode(_whole_start(self._tail))}"


def _decode(data: bytes) -> str:
    return data.decode("utf-8", "replace").replace("\0", "\N{REPLACEMENT CHARACTER}")


def _whole_start(data: bytearray) -> bytes:
    """Without the rest of a character that the cut went through."""
    return bytes(data[:3]).lstrip(_CONTINUATION) + bytes(data[3:])


def _whole_end(data: bytearray) -> bytes:
    """Without the beginning of a character that the cut went through."""
    for length in (1, 2, 3):
        if data[-length] >= 0xC0:
            return bytes(data[:-length])
        if data[-length] < 0x80:
            break
    return bytes(data)
