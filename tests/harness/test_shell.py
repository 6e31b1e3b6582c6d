"""The shell engine: scripts, their output and how they end."""

from __future__ import annotations

import os
import shutil
import signal
import sys

import psutil
import pytest

from tests.harness.server import Background, Harness, text, wait_until

HALF = 512 * 1024
WHOSE = 'echo "${SESSION_ID-none} ${HARNESS_PROGRESS_TOKEN-none}"'


@pytest.mark.parametrize(
    ("script", "status", "sentence"),
    [
        ("exit 3", 3, "exit status 3"),
        ("false", 1, "exit status 1"),
        ("kill -9 $$", 137, "killed by SIGKILL"),
        ("kill -15 $$", 143, "killed by SIGTERM"),
        ("sh -c 'kill -9 $$'; exit $?", 137, "exit status 137"),
        ("no-such-command", 127, "exit status 127"),
        ("if", 2, "exit status 2"),
    ],
)
def test_a_failure_is_an_error_with_its_output(
    shared: Harness, script: str, status: int, sentence: str
) -> None:
    reply = shared.run("echo before\n" + script)
    assert reply["info"]["exit"] == status
    assert reply["info"]["error"] == {"name": "ScriptFailed", "data": {"message": sentence}}
    assert text(reply).startswith("before\n")


def test_stdout_and_stderr_come_in_order(shared: Harness) -> None:
    reply = shared.run("for i in 1 2 3; do echo out $i; echo err $i >&2; done")
    assert text(reply) == "out 1\nerr 1\nout 2\nerr 2\nout 3\nerr 3\n"


def test_text_parts_are_lines_of_one_script(shared: Harness) -> None:
    parts = [
        {"type": "text", "text": "if true; then"},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": ""}},
        {"type": "text", "text": "echo joined; fi"},
    ]
    answer = shared.http.post(f"/session/{shared.session()}/message", json={"parts": parts})
    assert text(answer.json()) == "joined\n"


def test_it_runs_in_the_work_directory_with_an_empty_stdin(shared: Harness) -> None:
    reply = shared.run("pwd; cat; read line || echo empty")
    assert text(reply) == f"{shared.workdir}\nempty\n"


def test_a_script_knows_the_session_it_is_of(shared: Harness) -> None:
    first = shared.session(platform_session_id="p-1", callback={"token": "t-1"})
    second = shared.session(platform_session_id="p-2", callback={"url": "http://127.0.0.1:9/"})
    told = [text(shared.run(WHOSE, session)) for session in (first, second, shared.session())]
    assert told == ["p-1 t-1\n", "p-2 none\n", "none none\n"]


def test_whoever_takes_a_session_over_brings_a_new_token(shared: Harness) -> None:
    session = shared.session(platform_session_id="p-3", callback={"token": "t-1"})
    shared.session(platform_session_id="p-3")
    assert text(shared.run(WHOSE, session)) == "p-3 t-1\n"
    shared.session(platform_session_id="p-3", callback={"token": "t-2"})
    assert text(shared.run(WHOSE, session)) == "p-3 t-2\n"


def test_it_has_no_file_of_the_server_open(shared: Harness) -> None:
    if sys.platform != "linux":
        pytest.skip("reads /proc")
    assert text(shared.run("ls /proc/self/fd | wc -l")).strip() == "4"  # ls has the folder open


def test_a_script_may_be_large(shared: Harness) -> None:
    script = "\n".join(f"# {'x' * 90} {n}" for n in range(12_000)) + "\necho end"
    assert len(script) > 1024 * 1024
    assert text(shared.run(script)) == "end\n"


def test_an_empty_script_succeeds(shared: Harness) -> None:
    reply = shared.run("")
    assert (text(reply), reply["info"]["exit"]) == ("", 0)


def test_text_is_unicode(shared: Harness) -> None:
    assert text(shared.run("echo 'Grüße 日本 🚀'")) == "Grüße 日本 🚀\n"


def test_what_a_database_cannot_hold_is_replaced(shared: Harness) -> None:
    session = shared.session()
    output = text(shared.run(r"printf 'a\000b\377c\303'", session))
    assert output == "a\ufffdb\ufffdc\ufffd"
    body = b'{"parts": [{"type": "text", "text": "echo \\u0000 \\ud800"}]}'
    answer = shared.http.post(f"/session/{session}/message", content=body)
    assert text(answer.json()) == "\ufffd \ufffd\ufffd\ufffd\n"
    assert "\0" not in "".join(text(message) for message in shared.thread(session))


def test_the_middle_of_a_long_output_is_dropped(shared: Harness) -> None:
    reply = shared.run("echo first; yes é | head -c 3000000; echo last")
    kept = text(reply)
    note = f"[output truncated: kept the first {HALF} and the last {HALF} of 3000011 bytes]"
    assert f"\n{note}\n" in kept
    assert kept.startswith("first\né\né\n")
    assert kept.endswith("last\n")
    assert "\ufffd" not in kept
    assert len(kept.encode()) <= 2 * HALF + len(note) + 2
    assert reply["info"]["truncated"] is True


def test_output_up_to_the_limit_is_whole(shared: Harness) -> None:
    reply = shared.run("head -c 1048576 /dev/zero | tr '\\0' x")
    assert text(reply) == "x" * 2 * HALF
    assert "truncated" not in reply["info"]


@pytest.mark.slow
def test_a_flood_costs_no_memory(shared: Harness) -> None:
    shared.run("true")
    before = psutil.Process(shared.process.pid).memory_info().rss
    reply = shared.run("yes | head -c 300000000")
    assert "of 300000000 bytes]" in text(reply)
    assert psutil.Process(shared.process.pid).memory_info().rss - before < 32 * 1024 * 1024


def test_the_reply_does_not_wait_for_background_children(shared: Harness) -> None:
    reply = shared.run("sleep 300 & (trap '' TERM HUP; sleep 300) & echo started")
    assert text(reply) == "started\n"
    wait_until(lambda: not (shared.scripts() or shared.zombies()))


@pytest.mark.skipif(not shutil.which("setsid"), reason="needs setsid")
def test_the_reply_does_not_wait_for_what_left_the_group(shared: Harness) -> None:
    script = "setsid sh -c 'echo $$ > pid; yes' & until [ -s pid ]; do sleep 0.01; done; echo end"
    reply = shared.run(script)
    assert reply["info"]["exit"] == 0
    pid = int((shared.workdir / "pid").read_text())
    wait_until(lambda: not psutil.pid_exists(pid))  # its pipe has no reader: SIGPIPE


def test_a_script_may_close_its_output_and_go_on(shared: Harness) -> None:
    assert text(shared.run("echo said; exec >&- 2>&-; sleep 0.2; touch later")) == "said\n"
    assert (shared.workdir / "later").exists()


def test_a_script_that_is_killed_from_outside_ends_the_turn(shared: Harness) -> None:
    call = Background(lambda: shared.run("echo $$ > leader.tmp; mv leader.tmp leader; sleep 300"))
    os.kill(int(shared.file("leader").read_text()), signal.SIGKILL)
    assert call.result()["info"]["error"]["data"]["message"] == "killed by SIGKILL"


def test_a_lost_work_directory_is_an_error_not_a_crash(harness: Harness) -> None:
    session = harness.session()
    harness.run('rm -rf "$PWD"', session)
    answer = harness.http.post(
        f"/session/{session}/message", json={"parts": [{"type": "text", "text": "true"}]}
    )
    error = answer.json()["info"]["error"]
    assert error["name"] == "EngineFailed"
    assert "No such file" in error["data"]["message"]
    assert harness.zombies() == []
