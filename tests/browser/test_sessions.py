"""Sessions as they happen: pages that stay current, and a conversation with a real sandbox."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from agents.models import Agent
from sessions.models import Session
from sessions.opening import open_session, run_now
from tests.conftest import MakeAgent
from tests.processes import Workers

BRING_UP_MILLISECONDS = 30_000


def look(page: Page) -> None:
    """What lap.js does every three seconds."""
    page.evaluate("htmx.trigger(document.body, 'look')")


def open_once(page: Page, url: str) -> None:
    """Open a page that is not expected to be loaded again."""
    page.goto(url)
    page.evaluate("window.isStillTheSame = true")


def assert_never_reloaded(page: Page) -> None:
    assert page.evaluate("window.isStillTheSame")


def test_the_list_stays_current_and_keeps_its_place(page: Page, make_agent: MakeAgent) -> None:
    agent = make_agent(name="Nightly")
    first = Session.objects.create(agent=agent, title="first")
    open_once(page, "/sessions/")
    page.get_by_role("link", name="first").focus()
    Session.objects.create(agent=agent, title="second")
    Session.objects.filter(id=first.id).update(phase="installing_deps")
    expect(page.get_by_role("link", name="second")).to_be_visible()
    expect(page.get_by_role("row", name="first")).to_contain_text("Installing dependencies")
    expect(page.get_by_role("link", name="first")).to_be_focused()
    Session.objects.filter(id=first.id).update(status="ready")
    look(page)
    expect(page.get_by_role("row", name="first")).to_contain_text("ready")
    assert_never_reloaded(page)


def test_filters_work_in_place_and_go_into_the_address(page: Page, make_agent: MakeAgent) -> None:
    agent = make_agent(name="Nightly")
    for number in range(2):
        Session.objects.create(agent=agent, title=f"talk {number}", status="ready")
    Session.objects.create(agent=make_agent(name="Other"), title="another")
    open_once(page, f"/sessions/?agent={agent.id}")
    page.get_by_label("Status").select_option("creating")
    expect(page.get_by_text("No session matches these filters.")).to_be_visible()
    page.get_by_label("Status").select_option("ready")
    expect(page.get_by_role("link", name="talk")).to_have_count(2)
    assert page.url.endswith(f"/sessions/?status=ready&agent={agent.id}")
    page.get_by_label("Agent", exact=True).press_sequentially("oth")
    expect(page.get_by_text("No session matches these filters.")).to_be_visible()
    assert_never_reloaded(page)
    page.get_by_role("link", name="Show all sessions").click()
    expect(page.get_by_role("link", name="another")).to_be_visible()


def test_a_conversation(page: Page, make_agent: MakeAgent, workers: Workers) -> None:
    agent = make_agent(name="Talk")
    session = open_session(agent.id, actor="operator", initial_prompt="echo hello")
    open_once(page, f"/sessions/{session.id}/")
    box, send = page.get_by_label("Message"), page.get_by_role("button", name="Send")
    box.fill("seq 5000; echo the end")
    expect(send).to_be_disabled()
    workers.start()
    expect(send).to_be_enabled(timeout=BRING_UP_MILLISECONDS)
    expect(box).to_have_value("seq 5000; echo the end")
    box.press("Control+Enter")
    expect(box).to_have_value("", timeout=BRING_UP_MILLISECONDS)
    expect(box).to_be_focused()
    page.get_by_text("Show the rest").click()
    expect(page.get_by_text("the end", exact=False).last).to_be_visible()
    box.fill("sleep 1000")
    send.click()
    expect(page.get_by_text("Waiting for the answer…").last).to_be_visible()
    page.get_by_role("button", name="Stop answering").click()
    expect(page.get_by_text("Failed: aborted")).to_be_visible()
    expect(page.locator("details[open]")).to_have_count(1)
    assert_never_reloaded(page)
    page.get_by_role("button", name="Stop", exact=True).click()
    expect(page.get_by_text("Stopped by operator")).to_be_visible()
    expect(page.locator(".title")).to_contain_text("dead", timeout=BRING_UP_MILLISECONDS)
    expect(page.get_by_text("5000", exact=False).first).to_be_attached()


def test_a_run_is_followed_until_it_fails(
    page: Page, make_agent: MakeAgent, workers: Workers
) -> None:
    agent = make_agent(name="Sync", cron_prompt="echo as far as this; exit 3")
    session = run_now(agent.id, actor="operator")
    open_once(page, f"/sessions/{session.id}/")
    steps = page.get_by_role("list").filter(has_text="Created")
    expect(steps).to_contain_text("Waiting for a worker")
    workers.start()
    reason = page.get_by_text("Exit status 3", exact=True)
    expect(reason).to_be_visible(timeout=BRING_UP_MILLISECONDS)
    expect(page.get_by_text("any exit status but 0")).to_be_visible()
    expect(page.locator("#thread")).to_contain_text("as far as this")
    expect(page.locator(".title")).to_contain_text("failed manual")
    expect(steps).to_contain_text("Ended")
    assert_never_reloaded(page)


def test_what_cannot_be_sent_stays_in_the_box(page: Page, make_agent: MakeAgent) -> None:
    session = lost_conversation(make_agent())
    open_once(page, f"/sessions/{session.id}/")
    box = page.get_by_label("Message")
    box.fill("are you there?")
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_role("alert").filter(has_text="no usable answer")).to_be_visible()
    expect(box).to_have_value("are you there?")
    expect(page.locator(".title")).to_contain_text("stopping")
    expect(box).to_have_value("are you there?")
    expect(page.get_by_role("button", name="Send")).to_be_disabled()
    assert_never_reloaded(page)


def lost_conversation(agent: Agent) -> Session:
    """Ready, as far as is known; but nobody listens there."""
    return Session.objects.create(
        agent=agent, status="ready", phase="ready", sandbox_url="http://127.0.0.1:9",
        harness_token="token", harness_session_id="h1",
    )  # fmt: skip
