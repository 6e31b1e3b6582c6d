"""A message runs once, in its turn, whether or not its sender is still there."""

from __future__ import annotations

import httpx
import pytest

from tests.harness.server import Background, Harness, prompt, text, wait_until

COUNT = "echo ran >> runs; until [ -e go ]; do sleep 0.02; done; echo done"


def runs(harness: Harness) -> int:
    return len(harness.file("runs").read_text().splitlines())


def hang_up(harness: Harness, session: str, script: str, **extra: str) -> None:
    """Send a message and go away while it runs."""
    with harness.client() as caller, pytest.raises(httpx.ReadTimeout):
        caller.post(f"/session/{session}/message", json=prompt(script, **extra), timeout=0.2)


def test_a_known_message_is_answered_and_not_run_again(harness: Harness) -> None:
    session = harness.session()
    first = harness.run("echo ran >> runs", session, messageID="msg_1")
    assert harness.run("echo other >> runs", session, messageID="msg_1") == first
    answer = harness.http.post(
        f"/session/{session}/prompt_async", json=prompt("true", messageID="msg_1")
    )
    assert answer.status_code == 204
    assert len(harness.thread(session)) == 2
    assert runs(harness) == 1


def test_concurrent_duplicates_share_one_turn(harness: Harness) -> None:
    session = harness.session()
    calls = [Background(lambda: harness.run(COUNT, session, messageID="msg_1")) for _ in range(8)]
    harness.file("runs")
    (harness.workdir / "go").touch()
    replies = [call.result() for call in calls]
    assert all(reply == replies[0] for reply in replies)
    assert text(replies[0]) == "done\n"
    assert runs(harness) == 1


def test_a_turn_survives_its_caller_and_answers_the_next(harness: Harness) -> None:
    session = harness.session()
    hang_up(harness, session, COUNT, messageID="msg_1")
    again = Background(lambda: harness.run(COUNT, session, messageID="msg_1"))
    (harness.workdir / "go").touch()
    reply = again.result()
    assert text(reply) == "done\n"
    assert runs(harness) == 1
    assert harness.thread(session)[1] == reply
    wait_until(lambda: "499" in harness.log)


def test_the_same_id_in_another_session_is_another_message(harness: Harness) -> None:
    for _ in range(2):
        harness.run("echo ran >> runs", messageID="msg_1")
    assert runs(harness) == 2


def test_messages_of_a_session_wait_for_each_other(harness: Harness) -> None:
    session = harness.session()
    for number in range(5):
        script = f"echo begin {number} >> log; sleep 0.05; echo end {number} >> log"
        harness.http.post(f"/session/{session}/prompt_async", json=prompt(script))
    harness.finished(session, 5)
    lines = (harness.workdir / "log").read_text().splitlines()
    assert lines == [f"{word} {number}" for number in range(5) for word in ("begin", "end")]
    assert [m["info"]["role"] for m in harness.thread(session)] == ["user", "assistant"] * 5


def test_sessions_do_not_wait_for_each_other(harness: Harness) -> None:
    slow = harness.session()
    harness.http.post(f"/session/{slow}/prompt_async", json=prompt(COUNT))
    assert text(harness.run("touch go; echo quick")) == "quick\n"
    harness.finished(slow)


def test_a_full_queue_is_busy(harness: Harness) -> None:
    session = harness.session()
    path = f"/session/{session}/prompt_async"
    harness.http.post(path, json=prompt(COUNT))
    harness.file("runs")
    assert [harness.http.post(path, json=prompt("true")).status_code for _ in range(16)] == [
        204
    ] * 16
    answer = harness.http.post(path, json=prompt("true"))
    assert (answer.status_code, answer.json()) == (409, {"error": "busy"})
    (harness.workdir / "go").touch()
    harness.finished(session, 17)


@pytest.mark.slow
def test_a_long_thread_forgets_replies_but_never_runs_a_message_again(harness: Harness) -> None:
    session = harness.session()
    ballast = {"type": "image", "source": {"data": "x" * 25_000_000}}
    parts = [{"type": "text", "text": "echo ran >> runs"}, ballast]
    for number in range(4):
        message = {"messageID": f"msg_{number}", "parts": parts}
        assert harness.http.post(f"/session/{session}/message", json=message).status_code == 200
    kept = [m["info"]["id"] for m in harness.thread(session) if m["info"]["role"] == "user"]
    assert kept == ["msg_2", "msg_3"]
    answer = harness.http.post(
        f"/session/{session}/message", json=prompt("echo ran >> runs", messageID="msg_0")
    )
    assert answer.status_code == 409
    assert runs(harness) == 4


@pytest.mark.parametrize("how", ["abort", "delete"])
def test_abort_ends_what_runs_and_what_waits(harness: Harness, how: str) -> None:
    session = harness.session()
    running = Background(lambda: harness.run("echo begun; touch runs; sleep 300", session))
    harness.file("runs")
    waiting = Background(lambda: harness.run("touch never", session))
    wait_until(lambda: len(harness.thread(session)) == 3)
    if how == "abort":
        answer = harness.http.post(f"/session/{session}/abort", json={}, timeout=5)
    else:
        answer = harness.http.delete(f"/session/{session}", timeout=5)
    assert (answer.status_code, answer.json()) == (200, True)
    first, second = running.result(), waiting.result()
    assert first["info"]["error"]["name"] == second["info"]["error"]["name"] == "Aborted"
    assert (text(first), text(second)) == ("begun\n", "")
    assert not (harness.workdir / "never").exists()
    wait_until(lambda: not harness.scripts())


def test_abort_with_nothing_to_abort_is_fine(harness: Harness) -> None:
    session = harness.session()
    for _ in range(2):
        answer = harness.http.post(f"/session/{session}/abort")
        assert (answer.status_code, answer.json()) == (200, True)
        assert text(harness.run("echo alive", session)) == "alive\n"


def test_abort_lets_a_script_clean_up(harness: Harness) -> None:
    session = harness.session()
    script = "trap 'echo bye; exit 0' TERM; touch runs; while :; do sleep 0.05; done"
    call = Background(lambda: harness.run(script, session))
    harness.file("runs")
    harness.http.post(f"/session/{session}/abort")
    reply = call.result()
    assert "bye" in text(reply)
    assert reply["info"]["error"]["name"] == "Aborted"
    assert reply["info"]["exit"] == 0


def test_abort_gives_the_children_of_the_shell_their_grace(harness: Harness) -> None:
    session = harness.session()
    child = "trap 'sleep 0.2; touch cleaned; exit' TERM; touch runs; while :; do sleep 0.05; done"
    call = Background(lambda: harness.run(f'sh -c "{child}" >/dev/null 2>&1; echo no', session))
    harness.file("runs")
    harness.http.post(f"/session/{session}/abort")
    assert call.result()["info"]["error"]["name"] == "Aborted"
    assert (harness.workdir / "cleaned").exists()


@pytest.mark.slow
def test_abort_kills_a_family_that_ignores_term(harness: Harness) -> None:
    session = harness.session()
    script = "trap '' TERM; yes & (while :; do sleep 300; done) & touch runs; sleep 300; sleep 300"
    call = Background(lambda: harness.run(script, session))
    harness.file("runs")
    assert harness.http.post(f"/session/{session}/abort", timeout=5).json() is True
    info = call.result()["info"]
    assert info["error"]["name"] == "Aborted"
    assert info["exit"] == 137
    wait_until(lambda: not (harness.scripts() or harness.zombies()))
