"""The time zones that the picker offers for what was typed."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from itertools import groupby
from typing import Final

from scheduler.cron import Zone, utc_offset, zones
from scheduler.cron.zones import NAMES

SUGGESTED: Final = "Suggested"
OTHER: Final = "Other names"
SOUGHT_LENGTH: Final = 60
"""Characters of a text that are looked for; no name of a zone is as long."""
_MINUS: Final = "\N{MINUS SIGN}"
_WHOLE, _BEGINS, _WITHIN = range(3)


@dataclass(frozen=True, slots=True)
class Option:
    """A zone of the list, with its offset from UTC now."""

    zone: Zone
    offset: str
    alias: str
    """The other name that the typed text was found in; empty where the zone's own has it."""


@dataclass(frozen=True, slots=True)
class Group:
    """The options of one region."""

    name: str
    options: tuple[Option, ...]


def browse(viewer: str, chosen: str, at: datetime) -> list[Group]:
    """All zones by region, with their offsets at ``at``.

    Before them the viewer's own, UTC and the one that is chosen now.
    """
    first = list(dict.fromkeys([*_meant(viewer), zones()[0], *_meant(chosen)]))
    rest = [zone for zone in zones() if zone not in first]
    regions = groupby(rest, key=lambda zone: zone.region)
    return [_group(SUGGESTED, first, at), *(_group(name, found, at) for name, found in regions)]


def search(text: str, at: datetime) -> list[Group]:
    """The zones that all words of ``text`` are found in, the likeliest region and city first.

    Looked through are names, cities, countries, comments, offsets and aliases.
    """
    sought = _plain(text[:SOUGHT_LENGTH])
    found = [(rank, option) for option, rank in _ranked(sought, at)]
    found.sort(key=lambda pair: pair[0])
    regions: dict[str, list[Option]] = {}
    for _, option in found:
        regions.setdefault(option.zone.region, []).append(option)
    return [Group(name, tuple(options)) for name, options in regions.items()]


def offset_words(offset: timedelta) -> str:
    """``UTC+05:30``; with the minus sign that is as wide as the plus; ``UTC`` alone for none."""
    minutes = round(offset / timedelta(minutes=1))
    hours, rest = divmod(abs(minutes), 60)
    return f"UTC{_MINUS if minutes < 0 else '+'}{hours:02}:{rest:02}" if minutes else "UTC"


def _meant(name: str) -> Iterator[Zone]:
    return (zone for zone in zones() if name == zone.name or name in zone.aliases)


def _ranked(sought: str, at: datetime) -> Iterator[tuple[Option, int]]:
    words = set(sought.split())
    for zone in (*zones(), *_others()):
        offset = offset_words(utc_offset(zone.name, at))
        own = (*_own_names(zone), *_spellings(offset))
        names = (*own, *map(_plain, zone.aliases))
        if all(any(word in name for name in names) for word in words):
            yield Option(zone, offset, _alias(zone, words, own)), _rank(sought, names)


def _rank(sought: str, names: Iterable[str]) -> int:
    if sought in names:
        return _WHOLE
    return _BEGINS if any(name.startswith(sought) for name in names) else _WITHIN


def _alias(zone: Zone, words: Collection[str], own: Iterable[str]) -> str:
    if all(any(word in name for name in own) for word in words):
        return ""
    return next((a for a in zone.aliases if any(word in _plain(a) for word in words)), "")


def _group(name: str, found: Iterable[Zone], at: datetime) -> Group:
    options = (Option(zone, offset_words(utc_offset(zone.name, at)), "") for zone in found)
    return Group(name, tuple(options))


@cache
def _own_names(zone: Zone) -> tuple[str, ...]:
    return tuple(map(_plain, (zone.name, zone.city, zone.country, zone.comment)))


@cache
def _others() -> tuple[Zone, ...]:
    """Accepted names of clocks that no place has: ``Etc/GMT+5``, ``PST8PDT``."""
    named = {name for zone in zones() for name in (zone.name, *zone.aliases)}
    return tuple(Zone(name, OTHER, name, "", "", ()) for name in sorted(NAMES - named))


def _spellings(offset: str) -> tuple[str, ...]:
    """How an offset may be typed: ``utc-08:00`` and ``utc-8``."""
    typed = _plain(offset)
    sign = typed[3:4]
    return (typed, f"utc{sign}{typed[4:].removeprefix('0').removesuffix(':00')}") if sign else ()


def _plain(text: str) -> str:
    return text.casefold().replace("_", " ").replace(_MINUS, "-").strip()
