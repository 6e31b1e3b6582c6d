"""Time zones: from the pinned `tzdata` package only, so that every pod computes alike.

Importing this module empties zoneinfo's search path for the whole process. Python would
otherwise prefer the operating system's database (or PYTHONTZPATH), whose version differs
from image to image: two workers would then compute different instants for one schedule.
"""

import zoneinfo
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import TypeGuard

from scheduler.cron.errors import CronError

zoneinfo.reset_tzpath(to=())
# Zones that somebody built earlier came from the old path; the next ZoneInfo(…) of anybody
# in this process, Django's templates included, shall agree with ours.
zoneinfo.ZoneInfo.clear_cache()

_FOREIGN = frozenset({"Factory", "localtime", "posixrules"})
_FOREIGN_ROOTS = ("posix/", "right/")
_ZERO = frozenset({"Etc/UTC", "Etc/GMT"})
_LINES = resources.files("tzdata").joinpath("zones").read_text("utf-8").split()

NAMES: frozenset[str] = frozenset(
    name for name in _LINES if name not in _FOREIGN and not name.startswith(_FOREIGN_ROOTS)
)
"""Every name that `cron_timezone` may have, aliases such as US/Pacific included."""


@dataclass(frozen=True, slots=True)
class Zone:
    """One row of the zone picker."""

    name: str
    region: str
    """The part before the first slash, to group by (`America`); `UTC` for UTC."""
    city: str
    """The rest, readable (`Argentina, Buenos Aires`)."""
    country: str
    """English name of the country, to search by; empty for UTC."""
    comment: str
    """What tells the zones of one country apart (`Mountain Time - south Idaho`)."""
    aliases: tuple[str, ...]
    """Other accepted names of the same clock (`US/Pacific`), to search by."""


def is_zone(name: object) -> TypeGuard[str]:
    """Tell whether `name` is exactly one of NAMES; opens no file."""
    return isinstance(name, str) and name in NAMES


def load(name: object) -> zoneinfo.ZoneInfo:
    """Return the zone called `name`.

    Raises CronError for anything but an exact member of NAMES, before ZoneInfo() is built:
    it would open a file of that name.
    """
    if not is_zone(name):
        raise CronError.timezone(name)
    return _load(name)


def utc_offset(name: str, at: datetime) -> timedelta:
    """Return the offset of zone `name` from UTC at the aware instant `at`.

    Raises CronError for an unknown zone.
    """
    offset = at.astimezone(load(name)).utcoffset()
    assert offset is not None
    return offset


@cache
def zones() -> tuple[Zone, ...]:
    """Return what the picker offers: UTC, then the names of zone.tab in order.

    Each carries its aliases as tzdata links them. NAMES holds the few further names that a
    user may type (such as Etc/GMT+5 or PST8PDT).
    """
    countries, aliases = dict(_countries()), _aliases()
    utc = Zone("UTC", "UTC", "UTC", "", "Coordinated Universal Time", aliases["UTC"])
    rows = (
        _zone(name, countries[code], comment, aliases.get(name, ()))
        for code, _, name, comment in _table("zone.tab", columns=4)
    )
    return (utc, *sorted(rows, key=lambda zone: zone.name))


@cache
def _load(name: str) -> zoneinfo.ZoneInfo:
    # no_cache: an object that was built before the path was emptied must not come back.
    return zoneinfo.ZoneInfo.no_cache(name)


def _zone(name: str, country: str, comment: str, aliases: tuple[str, ...]) -> Zone:
    region, _, city = name.partition("/")
    readable = city.replace("_", " ").replace("/", ", ")
    return Zone(name, region, readable, country, comment, aliases)


def _countries() -> Iterator[tuple[str, str]]:
    return ((code, country) for code, country in _table("iso3166.tab", columns=2))


def _aliases() -> Mapping[str, tuple[str, ...]]:
    """Return the names that are only links, by the name of the picker that they mean."""
    links, offered = _links(), {row[2] for row in _table("zone.tab", columns=4)} | {"UTC"}
    found: dict[str, list[str]] = defaultdict(list)
    for alias in sorted(NAMES - offered):
        target = links.get(alias, alias)
        found["UTC" if target in _ZERO else target].append(alias)
    return MappingProxyType({name: tuple(aliases) for name, aliases in found.items()})


def _links() -> dict[str, str]:
    lines = (line.split() for line in _text("tzdata.zi").splitlines() if line.startswith("L "))
    return {alias: target for _, target, alias in lines}


def _table(file: str, columns: int) -> Iterator[list[str]]:
    for line in _text(file).splitlines():
        if line and not line.startswith("#"):
            yield [*line.split("\t"), ""][:columns]


def _text(file: str) -> str:
    return resources.files("tzdata").joinpath("zoneinfo", file).read_text("utf-8")
