"""A short run of the fuzzer; ``python -m tests.fuzz`` is the long one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz import IMPATIENT, UNLIMITED, fuzz_with_keys, fuzz_without_keys
from tests.live import Web
from tests.processes import Workers

SEED = "--seed=1"
"""The same cases every time: looking for new ones is what the long run is for."""


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_no_answer_differs_from_the_schema(workers: Workers, tmp_path: Path) -> None:
    workers.start(**IMPATIENT)
    web = Web(tmp_path, **UNLIMITED)
    try:
        found = [
            fuzz_with_keys(web.url, web.key, 2, SEED, "--phases=examples,coverage,fuzzing"),
            fuzz_without_keys(web.url, 5, SEED, "--phases=examples,fuzzing"),
        ]
    finally:
        web.end()
    assert [one.problems for one in found] == ["", ""]
    assert all(len(one.cases) > least for one, least in zip(found, (500, 80), strict=True))
