"""The examples of docs/api.md, run one after the other as a reader would."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from django.conf import settings

from sessions.models import Worker
from tests.live import Web
from tests.processes import Workers, database_url, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

GUIDE = settings.BASE_DIR / "docs" / "api.md"
BLOCK = re.compile(r"^( *)```(sh|python|json|text)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
MISSING = [tool for tool in ("curl", "jq") if not shutil.which(tool)]
END = "-- end of a block --"
CHANGES = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}|20\d\d-\d\d-\d\dT[\d:.]+Z")
"""Ids and instants differ from run to run."""


class Example(NamedTuple):
    kind: str
    code: str
    shown: list[tuple[str, str]]


def examples() -> Iterator[Example]:
    """Each block that is run, with the answers that are shown behind it."""
    current: Example | None = None
    for _, kind, text in BLOCK.findall(GUIDE.read_text()):
        if kind in ("json", "text"):
            assert current is not None
            current.shown.append((kind, text))
            continue
        if current is not None:
            yield current
        current = Example(kind, text, [])
    if current is not None:
        yield current


@pytest.mark.skipif(
    bool(MISSING) and "CI" not in os.environ,
    reason=f"the guide's examples need {' and '.join(MISSING)}",
)
def test_every_example_gives_what_the_guide_shows(
    web: Web, workers: Workers, tmp_path: Path
) -> None:
    workers.start()
    wait_for(Worker.objects.filter(backend_checked_at__isnull=False).exists)
    told = list(examples())
    outputs = run(told, web, tmp_path)
    for example, output in zip(told, outputs, strict=True):
        check(example, output)


def run(told: list[Example], web: Web, folder: Path) -> list[str]:
    """What each example printed. All shell blocks share one shell."""
    (folder / "data").mkdir()
    (folder / "data" / "master.key").write_text(web.key)
    (folder / ".venv" / "bin").mkdir(parents=True)
    python = folder / ".venv" / "bin" / "python"
    python.write_text(f'#!/bin/sh\ncd "{settings.BASE_DIR}" && exec "{sys.executable}" "$@"\n')
    python.chmod(0o700)
    script = "set -euo pipefail\n" + "".join(map(as_shell, told))
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=folder,
        env=os.environ | environment(web),
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}\n{web.log()}"
    return done.stdout.split(f"{END}\n")[:-1]


def environment(web: Web) -> dict[str, str]:
    return {
        "LAP": f"{web.url}/api/v1",
        "DATABASE_URL": database_url(),
        "LAP_ENCRYPTION_KEYS": ",".join(settings.LAP_ENCRYPTION_KEYS),
    }


def as_shell(example: Example) -> str:
    code = example.code
    if example.kind == "python":
        code = f"LAP=$LAP KEY=$KEY AGENT=$AGENT {sys.executable} - <<'PYTHON'\n{code}PYTHON\n"
    return f"{code}echo; echo '{END}'\n"


def check(example: Example, output: str) -> None:
    """Compare what was printed with what is shown."""
    if not example.shown:
        return
    if example.shown[0][0] == "text":
        assert output.strip() == example.shown[0][1].strip()
        return
    printed = list(json_values(output))
    assert len(printed) == len(example.shown), (example.code, output)
    for (_, shown), value in zip(example.shown, printed, strict=True):
        assert matches(json.loads(shown), value), (example.code, value)


def json_values(text: str) -> Iterator[Any]:
    decoder = json.JSONDecoder()
    rest = text.strip()
    while rest:
        value, end = decoder.raw_decode(rest)
        yield value
        rest = rest[end:].strip()


def matches(shown: Any, value: Any) -> bool:
    """Whether an answer is what is shown, but for ids, instants, and where "…" stands."""
    if isinstance(shown, dict) and isinstance(value, dict):
        return shown.keys() == value.keys() and all(matches(shown[k], value[k]) for k in shown)
    if isinstance(shown, str) and isinstance(value, str):
        pattern = re.escape(CHANGES.sub("…", shown)).replace("…", ".*")
        return bool(re.fullmatch(pattern, CHANGES.sub("…", value), re.DOTALL))
    if isinstance(shown, float):
        return isinstance(value, float)
    return bool(shown == value)
