"""Fuzzes the running server with schemathesis, with keys and without.

    python -m tests.fuzz [--cases 150] [--seed 1]

``--cases`` bounds the generated cases of each operation in each phase that generates; examples
and edge cases come on top. With keys, no answer may be a 5xx or differ from the schema; without,
every answer of a route that takes a key must be a 401. schemathesis.toml lists the checks that
are switched off. Everything ends with the command, also on Ctrl-C.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from tests.installation import installation

CHECKOUT = Path(__file__).parents[1]
CONFIG = CHECKOUT / "schemathesis.toml"
KEYS = """
[auth.openapi]
key = {{ bearer = "{key}" }}
callbackToken = {{ bearer = "{token}" }}

[[operations]]
include-operation-id = "report_phase"
parameters = {{ "path.session_id" = "{of_token}" }}

[dictionaries.ready]
values = {ready}

[[operations]]
include-operation-id = ["send_message", "list_messages", "abort_turn"]
parameters = {{ "path.session_id" = {{ dictionary = "ready", probability = 0.5 }} }}
"""
PUBLIC = ("GET /api/v1/schema", "GET /api/v1/docs")
UNLIMITED = {"LAP_API_RATE_PER_MINUTE": "0", "LAP_API_FAILURES_PER_MINUTE": "0"}
IMPATIENT = {
    "LAP_BRINGUP_CONCURRENCY": "2",
    "LAP_RUNS_LIMIT": "10",
    "LAP_SESSION_IDLE_SECONDS": "120",
    "LAP_RECONCILE_SECONDS": "2",
}
"""For a worker that keeps few sandboxes, and those not for long."""


class Case(NamedTuple):
    """One request: the operation that it was made from, and the status of the answer, if any."""

    operation: str
    status: int | None


class Findings(NamedTuple):
    cases: list[Case]
    problems: str
    """Empty when all is well."""

    def table(self) -> str:
        """How many cases each operation had, and what was answered how often."""
        statuses: dict[str, Counter[int | None]] = {}
        for case in self.cases:
            statuses.setdefault(case.operation, Counter())[case.status] += 1
        rows = [
            f"{found.total():6}  {name} — "
            + ", ".join(f"{status}: {count}" for status, count in found.most_common())
            for name, found in sorted(statuses.items())
        ]
        return "\n".join([*rows, f"{len(self.cases):6}  in all"])


def fuzz_with_keys(url: str, key: str, cases: int, *options: str) -> Findings:
    """Let schemathesis judge the server at ``url``; needs Django, its database and a worker."""
    of_token, token = finished_session()
    ready = json.dumps(ready_sessions(3))
    keys = KEYS.format(key=key, token=token, of_token=of_token, ready=ready)
    return _schemathesis(url, keys, cases, *options)


def fuzz_without_keys(url: str, cases: int, *options: str) -> Findings:
    """The same requests without keys: besides, no answer but 401 behind the public routes."""
    found = _schemathesis(url, "", cases, *options)
    let_in = {case for case in found.cases if case.operation not in PUBLIC and case.status != 401}
    told = "\n".join(f"without a key: {case}" for case in sorted(let_in, key=str))
    return found._replace(problems=f"{found.problems}{told}")


def _schemathesis(url: str, keys: str, cases: int, *options: str) -> Findings:
    with tempfile.TemporaryDirectory(prefix="lap-fuzz-") as folder:
        config, report = Path(folder, "schemathesis.toml"), Path(folder, "report.ndjson")
        config.write_text(CONFIG.read_text() + keys)
        done = subprocess.run(
            [
                *(sys.executable, "-m", "schemathesis.cli", f"--config-file={config}", "run"),
                *(f"{url}/api/v1/schema", f"--max-examples={cases}", "--no-color", *options),
                *("--report=ndjson", f"--report-ndjson-path={report}"),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        return Findings(list(_cases(report)), done.stdout if done.returncode else "")


def _cases(report: Path) -> Iterator[Case]:
    for line in report.read_text().splitlines():
        finished = json.loads(line).get("ScenarioFinished")
        if finished is None:
            continue
        recorder = finished["recorder"]
        for name, interaction in recorder.get("interactions", {}).items():
            sent: dict[str, Any] = recorder["cases"][name]["value"]
            response = interaction["response"]
            is_chain = recorder["label"] == "Stateful tests"
            operation = f"{sent['method']} {sent['path']}" if is_chain else recorder["label"]
            yield Case(operation, response and response["status_code"])


def finished_session() -> tuple[str, str]:
    """A session that neither a worker nor a caller can change any more, and its token."""
    from agents.editing import create_agent
    from lap.core import clock
    from lap.core.secrets import hash_token, new_token
    from sessions.models import Session

    token, now = new_token(), clock.now()
    session = Session.objects.create(
        agent=create_agent({"model": "none", "harness_id": "shell"}, actor="fuzz"),
        status="completed",
        stopped_at=now,
        wiped_at=now,
        callback_token_hash=hash_token(token),
    )
    return str(session.id), token


def ready_sessions(count: int) -> list[str]:
    """Conversations with a live sandbox, once a worker has brought them up."""
    from agents.editing import create_agent
    from sessions.models import Session
    from sessions.opening import open_session
    from tests.processes import wait_for

    agent = create_agent({"model": "none", "harness_id": "shell"}, actor="fuzz")
    ids = [open_session(agent.id, actor="fuzz").id for _ in range(count)]
    wait_for(lambda: Session.objects.filter(id__in=ids, status="ready").count() == count)
    return [str(id_) for id_ in ids]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=150)
    parser.add_argument("--seed", type=int)
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    options = [] if asked.seed is None else [f"--seed={asked.seed}"]
    with installation(worker=IMPATIENT, web=UNLIMITED) as web:
        found = {
            "with keys": fuzz_with_keys(web.url, web.key, asked.cases, *options),
            "without keys": fuzz_without_keys(web.url, max(1, asked.cases // 5), *options),
        }
        log = web.log()
    for name, findings in found.items():
        print(f"{name}:\n{findings.table()}\n{findings.problems}")
    has_problems = any(findings.problems for findings in found.values())
    print(log if has_problems else "no problems")
    return has_problems


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
