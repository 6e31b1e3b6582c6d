"""Cron schedules: five fields and an IANA time zone in, instants and sentences out.

Pure: no Django, no clock, no state. The only package that imports a cron library, and the
part of the scheduler that anyone may import.
"""

from scheduler.cron.describe import describe
from scheduler.cron.errors import CronError
from scheduler.cron.expression import Schedule, parse
from scheduler.cron.fires import next_fires
from scheduler.cron.headline import headline
from scheduler.cron.preview import Preview, preview
from scheduler.cron.zones import Zone, utc_offset, zones
from scheduler.cron.zones import load as load_zone

__all__ = [
    "CronError",
    "Preview",
    "Schedule",
    "Zone",
    "describe",
    "headline",
    "load_zone",
    "next_fires",
    "parse",
    "preview",
    "utc_offset",
    "zones",
]
