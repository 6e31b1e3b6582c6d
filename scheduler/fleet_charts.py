"""The plan of the fleet as pictures: what to draw, in the units of an SVG's own box. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from itertools import groupby
from math import ceil
from typing import Final

from scheduler.fleet import Herd, Plan, Slot, heat, quarters

BAR_HEIGHT: Final = 100
LEVELS: Final = 5
TICK_HOURS: Final = 3
ROW_HEIGHT: Final = 12

_LEAST_BAR: Final = 2
_AFTER_NOW: Final = 10
_BEFORE_END: Final = 94
"""In percent: where there is room for a label."""
_BAR_WIDTH: Final = 0.8
_CELL_HEIGHT: Final = 0.86


@dataclass(frozen=True, slots=True)
class Tick:
    """A full hour on the axis, ``percent`` from its left end."""

    at: datetime
    percent: str


@dataclass(frozen=True, slots=True)
class Timeline:
    """Bars as two paths, of quarters with a herd and of the others; one unit wide per bar."""

    slots: Sequence[Slot]
    calm: str
    crowded: str
    ticks: Sequence[Tick]
    busiest: Slot


@dataclass(frozen=True, slots=True)
class Level:
    """Cells of one shade, from ``least`` to ``most`` runs, as one path of unit squares."""

    number: int
    least: int
    most: int
    path: str


@dataclass(frozen=True, slots=True)
class HourRow:
    """What a row of the heat map holds, for whoever points at it."""

    hour: int
    runs: int
    busiest_minute: int
    busiest_runs: int

    @property
    def baseline(self) -> int:
        """Where its label stands, in pixels."""
        return (self.hour + 1) * ROW_HEIGHT - 2


@dataclass(frozen=True, slots=True)
class HeatMap:
    levels: Sequence[Level]
    rows: Sequence[HourRow]


def timeline(plan: Plan, herds: Iterable[Herd], zone: tzinfo) -> Timeline:
    """Bars for quarters of an hour, and ticks at every third hour of the zone's clocks."""
    slots = quarters(plan)
    busiest = max(slots, key=lambda slot: slot.runs)
    crowds = [herd.at for herd in herds]
    paths: dict[bool, list[str]] = {False: [], True: []}
    for number, slot in enumerate(slots):
        has_herd = any(slot.start <= at < slot.end for at in crowds)
        paths[has_herd].append(_bar(number, slot.runs / busiest.runs))
    calm, crowded = "".join(paths[False]), "".join(paths[True])
    return Timeline(slots, calm, crowded, list(_ticks(slots, zone)), busiest)


def heat_map(plan: Plan, zone: tzinfo) -> HeatMap:
    """A path for each shade, one unit per minute and hour of the zone's clocks."""
    grid = heat(plan, zone)
    bounds = shades(max(max(row) for row in grid))
    least = [1, *(bound + 1 for bound in bounds[:-1])]
    levels = [
        Level(n, low, high, "".join(_path(grid, low, high)))
        for n, (low, high) in enumerate(zip(least, bounds, strict=True), start=1)
    ]
    return HeatMap(levels, [_row(hour, row) for hour, row in enumerate(grid)])


def shades(most: int) -> list[int]:
    """The upper bounds of up to LEVELS shades: each a like factor above the one before."""
    return sorted({ceil(round(most ** (n / LEVELS), 6)) for n in range(1, LEVELS + 1)} - {0})


def _bar(number: int, share: float) -> str:
    if not share:
        return ""
    left, top = number + (1 - _BAR_WIDTH) / 2, BAR_HEIGHT - max(_LEAST_BAR, BAR_HEIGHT * share)
    return f"M{left:.1f} {BAR_HEIGHT}V{top:.1f}h{_BAR_WIDTH}V{BAR_HEIGHT}z"


def _ticks(slots: Sequence[Slot], zone: tzinfo) -> Iterator[Tick]:
    for number, slot in enumerate(slots):
        local = slot.start.astimezone(zone)
        percent = 100 * number / len(slots)
        is_tick = local.minute == 0 and local.hour % TICK_HOURS == 0
        if is_tick and _AFTER_NOW < percent < _BEFORE_END:
            yield Tick(local, f"{percent:.2f}%")


def _path(grid: Sequence[Sequence[int]], low: int, high: int) -> Iterator[str]:
    """Neighbours of a row share one rectangle."""
    for hour, row in enumerate(grid):
        for is_shade, group in groupby(enumerate(row), key=lambda cell: low <= cell[1] <= high):
            if is_shade:
                minutes = [minute for minute, _ in group]
                width = len(minutes)
                yield f"M{minutes[0]} {hour}h{width}v{_CELL_HEIGHT}h-{width}z"


def _row(hour: int, row: Sequence[int]) -> HourRow:
    most = max(row)
    return HourRow(hour, sum(row), row.index(most), most)
