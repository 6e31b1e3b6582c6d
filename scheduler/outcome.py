"""What can become of an instant."""

from enum import StrEnum


class Outcome(StrEnum):
    STARTED = "started"
    SKIPPED_OVERLAP = "skipped_overlap"
    MISSED = "missed"
    COALESCED = "coalesced"
    PAUSED = "paused"
    SUPERSEDED = "superseded"
    INVALID_SCHEDULE = "invalid_schedule"
