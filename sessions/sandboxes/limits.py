"""What one sandbox may use of the machine."""

from __future__ import annotations

from dataclasses import dataclass

GIB = 1024**3


@dataclass(frozen=True, slots=True)
class Limits:
    """Resource limits. All but ``processes`` and ``log_bytes`` hold for each process by itself.

    Memory is limited as *data*: what a process can write to. The address space would be the
    wrong measure, since node, Go and Java reserve far more of it than they ever touch.
    """

    data_bytes: int = 4 * GIB
    processes: int = 256
    open_files: int = 4096
    file_bytes: int = 2 * GIB
    log_bytes: int = 1024**2
