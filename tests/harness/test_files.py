"""The files that a session starts with stay inside the work directory."""

from __future__ import annotations

import os
from typing import Any

import pytest

from tests.harness.server import Harness, text


def create(harness: Harness, *files: Any) -> tuple[int, str]:
    answer = harness.http.post("/session", json={"files": list(files)})
    return answer.status_code, answer.json().get("error", "")


def test_files_are_there_before_the_first_turn(harness: Harness) -> None:
    (harness.workdir / "old.txt").write_text("a longer text than the new one")
    files = [
        {"path": "deep/er/note.txt", "content": "Grüße\n"},
        {"path": "./old.txt", "content": "new\n"},
        {"path": "empty", "content": ""},
    ]
    reply = harness.run("cat deep/er/note.txt old.txt empty", harness.session(files=files))
    assert text(reply) == "Grüße\nnew\n"


@pytest.mark.parametrize(
    "path",
    ["/etc/evil", "../evil", "a/../../evil", "a/..", "..", ".", "", "folder/", "a\0b", 7, None],
)
def test_paths_that_leave_or_name_nothing_are_refused(shared: Harness, path: Any) -> None:
    good = {"path": "good", "content": "x"}
    status, error = create(shared, good, {"path": path, "content": "x"})
    assert status == 400
    assert "path" in error
    assert list(shared.workdir.iterdir()) == []
    assert shared.http.get("/session").json() == []


def test_links_and_other_things_in_the_way_are_refused(harness: Harness) -> None:
    outside = harness.workdir.parent / "outside"
    outside.mkdir()
    (outside / "target").write_text("untouched")
    (harness.workdir / "link").symlink_to(outside)
    (harness.workdir / "file-link").symlink_to(outside / "target")
    (harness.workdir / "folder").mkdir()
    (harness.workdir / "plain").touch()
    os.mkfifo(harness.workdir / "pipe")
    for path in ("link/evil", "file-link", "pipe", "folder", "plain/below"):
        status, error = create(harness, {"path": path, "content": "x"})
        assert status == 400
        assert path in error
    assert [p.name for p in outside.iterdir()] == ["target"]
    assert (outside / "target").read_text() == "untouched"


@pytest.mark.parametrize("files", ["a", [3], [{"path": "a"}], [{"path": "a", "content": 1}]])
def test_other_shapes_are_refused(shared: Harness, files: Any) -> None:
    assert shared.http.post("/session", json={"files": files}).status_code == 400
