"""Every instrument of LAP, with its labels. docs/metrics.md is the table for operators.

Labels take only values that the code knows: an agent, a session or a sentence is never one.
Each process counts for itself; what they share, the database counts (``sessions.figures``).
"""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter, Gauge, Histogram, disable_created_metrics

disable_created_metrics()  # type: ignore[no-untyped-call]

LATENESS_BUCKETS: Final = (0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 300, 900, 3600)
BRINGUP_BUCKETS: Final = (0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600)
TICK_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30)

fires = Counter("lap_fires", "Instants of schedules by what became of them.", ["outcome"])
fire_lateness = Histogram(
    "lap_fire_lateness_seconds",
    "From a scheduled instant to the commit that made its session visible.",
    buckets=LATENESS_BUCKETS,
)
tick_duration = Histogram(
    "lap_tick_seconds", "Duration of ticks that settled something.", buckets=TICK_BUCKETS
)
tick_errors = Counter("lap_tick_errors", "Agents and edits that a tick could not settle.")

bringup_duration = Histogram(
    "lap_bringup_seconds",
    "From a session's first claim to ready, failed tries included.",
    buckets=BRINGUP_BUCKETS,
)
scheduled_to_ready = Histogram(
    "lap_scheduled_to_ready_seconds",
    "From a scheduled instant to its session being ready.",
    buckets=BRINGUP_BUCKETS,
)
prompts = Counter("lap_prompts", "First messages of sessions, sent and answered.", ["result"])
for _result in ("sent", "answered", "failed"):
    prompts.labels(_result)  # 0 until the first one: a rate needs a value before it
sessions_ended = Counter(
    "lap_sessions_ended", "Sessions that this worker ended.", ["trigger", "status"]
)
session_failures = Counter(
    "lap_session_failures", "Sessions that ended failed or dead, by the kind of reason.", ["kind"]
)
live_sessions = Gauge("lap_live_sessions", "Sessions that this worker carries now.")

loop_errors = Counter(
    "lap_loop_errors", "Turns of a worker's loops that failed.", ["loop", "cause"]
)
reconciled = Counter("lap_reconcile", "What reconcile passes found and did.", ["what"])
warm = Counter("lap_warm", "Sandboxes asked of warm pools, by how it went.", ["result"])
sandbox_api = Counter(
    "lap_sandbox_api",
    "Calls of the sandbox backend's API, by outcome or class of error.",
    ["verb", "resource", "result"],
)
