"""How long the next five instants take: LAP's rule of time beside two cron libraries.

    python -m bench.cron [--json]

Cold means that every memo of scheduler.cron is empty (loaded zones stay, as they do for the
rivals, who get a ZoneInfo that exists). The rivals are called directly, as their manuals say;
the last column counts what they get wrong.
"""

import argparse
import json
import statistics
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from time import perf_counter

from croniter import croniter
from cronsim import CronSim

from scheduler.cron import expression, fires, next_fires
from scheduler.cron.zones import load

VECTORS = Path(__file__).parents[1] / "tests" / "scheduler" / "data" / "vectors_public.json"
ROUNDS = 7
BULK = 10_000
BULK_AFTER = datetime(2026, 10, 30, tzinfo=UTC)
MEMOS = (
    expression._parse,
    fires._few_fires,
    fires._many_fires,
    fires._times,
    fires._calendar,
)

Answer = list[datetime]
Caller = Callable[[str, str, datetime, int], Answer]


@dataclass(frozen=True)
class Row:
    """One line of the table; times in microseconds per call, best of ROUNDS."""

    name: str
    mean_us: float
    median_us: float
    max_us: float
    ratio: float
    wrong: int


@dataclass(frozen=True)
class Vector:
    """A question of the public vectors and its answer."""

    expression: str
    timezone: str
    after: datetime
    expected: Answer


def ours(expression: str, timezone: str, after: datetime, count: int) -> Answer:
    return next_fires(expression, timezone, after, count)


def ours_cold(expression: str, timezone: str, after: datetime, count: int) -> Answer:
    for memo in MEMOS:
        memo.cache_clear()
    return next_fires(expression, timezone, after, count)


def direct_croniter(expression: str, timezone: str, after: datetime, count: int) -> Answer:
    start = after.astimezone(load(timezone))
    found: Iterator[datetime] = croniter(expression, start).all_next(datetime)
    return [at.astimezone(UTC) for at in islice(found, count)]


def direct_cronsim(expression: str, timezone: str, after: datetime, count: int) -> Answer:
    start = after.astimezone(load(timezone))
    return [at.astimezone(UTC) for at in islice(CronSim(expression, start), count)]


def vectors() -> list[Vector]:
    rows = json.loads(VECTORS.read_text())
    return [
        Vector(
            row["expr"],
            row["tz"],
            datetime.fromisoformat(row["after"]),
            list(map(datetime.fromisoformat, row["expected_next"])),
        )
        for row in rows
    ]


def timed(caller: Caller, vector: Vector) -> tuple[float, bool]:
    """Return the best time in microseconds, and whether the answer was right."""
    best, answer = float("inf"), Answer()
    for _ in range(ROUNDS):
        start = perf_counter()
        answer = caller(vector.expression, vector.timezone, vector.after, len(vector.expected))
        best = min(best, perf_counter() - start)
    return best * 1e6, answer == vector.expected


def measure(name: str, caller: Caller, base: float | None) -> Row:
    """Time `caller` on every vector; `base` is the mean that the ratio compares with."""
    results = [timed(caller, vector) for vector in vectors()]
    times = [time for time, _ in results]
    mean = statistics.fmean(times)
    wrong = sum(not right for _, right in results)
    median, most = statistics.median(times), max(times)
    return Row(name, round(mean, 2), round(median, 2), round(most, 2), mean / (base or mean), wrong)


def bulk(caller: Caller) -> float:
    """Return the best seconds for 10,000 instants, every minute over a clock change."""
    best = float("inf")
    for _ in range(3):
        start = perf_counter()
        caller("* * * * *", "America/New_York", BULK_AFTER, BULK)
        best = min(best, perf_counter() - start)
    return best


def main() -> None:
    """Print the table, or with --json one line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    as_json = parser.parse_args().json
    base = measure("croniter 7, directly", direct_croniter, None)
    rows = [
        base,
        measure("cronsim, directly", direct_cronsim, base.mean_us),
        measure("scheduler.cron, cold", ours_cold, base.mean_us),
        measure("scheduler.cron, memoised", ours, base.mean_us),
    ]
    callers = {"croniter": direct_croniter, "cronsim": direct_cronsim, "lap": ours_cold}
    seconds = {name: round(bulk(caller), 4) for name, caller in callers.items()}
    if as_json:
        print(json.dumps({"rows": [asdict(row) for row in rows], "bulk_seconds": seconds}))
    else:
        show(rows, seconds)


def show(rows: list[Row], seconds: dict[str, float]) -> None:
    """Print the table for people."""
    print(f"next 5 instants, {len(vectors())} public vectors, best of {ROUNDS}, microseconds")
    print(f"{'':26}{'mean':>10}{'median':>10}{'max':>12}{'ratio':>9}{'wrong':>7}")
    for row in rows:
        times = f"{row.mean_us:10.2f}{row.median_us:10.2f}{row.max_us:12.2f}"
        print(f"{row.name:26}{times}{row.ratio:9.3f}{row.wrong:7}")
    shown = ", ".join(f"{name} {time:.3f} s" for name, time in seconds.items())
    print(f"{BULK:,} instants of * * * * * over a clock change: {shown}")


if __name__ == "__main__":
    main()
