"""The dashboard in a browser: sizes, light and dark, keyboard, screen reader, and the buttons that ask."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from audience_sync_cli.dashboard.facts import Facts
from audience_sync_cli.dashboard.server import DashboardServer
from audience_sync_cli.frame.errors import NotThere
from tests.e2e.chromium import Browser, Tab, in_a_browser
from tests.support import dashboard_states as states

pytestmark = [pytest.mark.slow, in_a_browser]

STATES: dict[str, Callable[[float], Facts]] = {
    "empty": states.empty,
    "flowing": states.flowing,
    "outage": states.outage,
    "revoked": states.revoked,
    "parked": states.parked,
    "stuck events": states.stuck_events,
    "unshared": states.unshared,
    "many": states.many,
}
HEADLINES = {
    "empty": "Waiting for the first event.",
    "flowing": "Changes are on their way.",
    "outage": "Amazon is not accepting uploads. Changes are waiting.",
    "revoked": "Amazon no longer accepts the stored authorization. Run audience-sync connect.",
    "parked": "Some changes need you.",
    "stuck events": "Some events need you.",
    "unshared": "Everything has arrived.",
    "many": "Changes are on their way.",
}
# Notes what the policy refuses and what a script raises, from before the page's own scripts run.
WATCH = """window.faults = [];
addEventListener("securitypolicyviolation", (each) => faults.push(`policy: ${each.violatedDirective}`));
addEventListener("error", (each) => faults.push(each.message));
addEventListener("unhandledrejection", (each) => faults.push(String(each.reason)));"""
CONTRASTS = (Path(__file__).parent / "contrast.js").read_text(encoding="utf-8")
FOCUSED = """(({ id, tagName, className, textContent }) => id || `${tagName} ${className} ${textContent}`)
(document.activeElement)"""
NAMED = ("button", "link", "combobox", "img", "image", "region")  # roles that need a name


class Shown:
    """A stack in one of the states, which remembers what was redriven."""

    def __init__(self) -> None:
        self.state = "flowing"
        self.redriven: list[str] = []
        self.switched: list[tuple[str, str]] = []

    def read(self, chosen: str) -> Facts:
        facts = replace(STATES[self.state](time.time()), range=chosen)
        if self.switched and self.switched[-1][0] == "pause":
            facts = replace(facts, blockers=(states.PAUSED,))
        return replace(facts, dead_letters=0, parked=states.empty().parked) if self.redriven else facts

    def redrive(self, reason: str) -> list[str]:
        self.redriven.append(reason)
        return ["3 dead letters redriven."]

    def switch(self, action: str, fields: Mapping[str, str]) -> list[str]:
        self.switched.append((action, fields.get("note", "")))
        return []

    def find(self, fields: Mapping[str, str]) -> list[dict[str, Any]]:
        if fields["id"] != "cust_48121":
            raise NotThere("Nothing is stored under that id.")
        return [
            {
                "title": "Member of VIP",
                "facts": {"member": fields["id"], "newest change": "left", "to be erased": False},
            }
        ]


@pytest.fixture
def shown() -> Shown:
    return Shown()


@pytest.fixture
def server(shown: Shown) -> Iterator[DashboardServer]:
    with DashboardServer(shown, 0) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def tab(server: DashboardServer, shown: Shown, browser: Browser) -> Iterator[Tab]:
    """The open page, on which nothing may be refused or raised."""
    with browser.tab() as tab:
        tab.call("Page.enable")
        tab.call("Page.addScriptToEvaluateOnNewDocument", source=WATCH)
        tab.show()
        tab.open(server.url)
        tab.wait(f"$('headline').textContent === {HEADLINES[shown.state]!r}")
        yield tab
        assert tab.read("faults") == []


def open_state(tab: Tab, shown: Shown, state: str) -> None:
    shown.state = state
    tab.read("poll()")
    tab.wait(f"$('headline').textContent === {HEADLINES[state]!r}")


def test_every_state_is_readable_on_phone_and_desktop_in_light_and_dark(tab: Tab, shown: Shown) -> None:
    for state in STATES:
        open_state(tab, shown, state)
        for width in (1280, 400):
            for dark in (False, True):
                tab.show(width=width, dark=dark)
                assert tab.read("document.scrollingElement.scrollWidth") <= width, (state, width)
                paper = tab.read("getComputedStyle(document.body).backgroundColor")
                assert (paper == "rgb(22, 23, 21)") is dark
                faint = [each for each in tab.read(CONTRASTS) if each[0] < 4.5]  # WCAG AA, for small text
                assert faint == [], (state, width, dark)


def test_a_revoked_share_stands_out_and_names_who_revoked_it(tab: Tab, shown: Shown) -> None:
    open_state(tab, shown, "unshared")
    shares = tab.read("[...document.querySelectorAll('.shares li')].map((each) => each.innerText)")
    assert shares[0].startswith("DSP advertiser ENTITY2XYZ9QWERTY: revoked by sharing grant ")
    assert shares[1:] == ["AMC instance amc1a2b3c4d: active", "DSP advertiser ENTITY7ABC3LMNOP: pending"]
    warned = tab.read("[...document.querySelectorAll('.shares .alarm')].map((each) => each.innerText)")
    assert warned == ["revoked by sharing grant"]


def test_many_audiences_are_filtered_sorted_and_marked_on_a_page_without_a_box(tab: Tab, shown: Shown) -> None:
    shown.state = "many"
    tab.read("poll()")
    tab.wait("$('audiences').children.length === 40")
    names = "[...document.querySelectorAll('#audiences b')].map((each) => each.textContent)"
    assert tab.read(names)[:2] == ["Holiday buyers 39", "Holiday buyers 38"]
    box = "(() => { const all = $('audiences').closest('section'); return all.scrollHeight - all.clientHeight; })()"
    assert tab.read(box) <= 1
    assert tab.read("$('audiences').closest('.scroll')") is None
    for column, first, order in (
        ("match", 0, "descending"),
        ("match", 39, "ascending"),
        ("name", 0, "ascending"),
        ("name", 39, "descending"),
    ):
        tab.read(f"document.querySelector('[data-sort^={column}]').focus()")
        tab.key("Enter")
        assert tab.read(names)[0] == f"Holiday buyers {first}"
        assert tab.read("document.activeElement.parentElement.ariaSort") == order
    marked = "[...document.querySelectorAll('#audiences .mark:not(:empty)')].map((each) => each.textContent)"
    assert tab.read(marked) == ["moved to 418273650912345602", "ended"]
    tab.show(width=400)
    assert tab.read("$('audiences').lastChild.innerText").startswith("Holiday buyers 0\nended"), "below the name"
    tab.read("$('audience-filter').focus()")
    tab.call("Input.insertText", text="BUYERS 1")
    assert len(tab.read(names)) == 11
    assert tab.read("$('audiences-shown').textContent") == "11 of 40 audiences"
    tab.call("Input.insertText", text="x")
    assert "No audience contains that." in tab.read("$('audiences-section').innerText")
    tab.read("$('audience-filter').value = ''; clearTimeout(timer)")
    tab.read(
        "show({...newest, audiences: [...Array(300)].map((_, n) => ({...newest.audiences[0], audienceId: `${n}`}))})"
    )
    assert tab.read("$('audiences').children.length") == 200
    assert tab.read("$('audiences-shown').textContent") == "200 of 300 audiences"


def test_the_event_queue_is_shown_beside_the_other_steps_if_the_stack_has_one(tab: Tab, shown: Shown) -> None:
    assert "event queue" not in tab.read("document.body.innerText")
    open_state(tab, shown, "stuck events")
    assert "12\nin the event queue\n3\nevent dead letters" in tab.read("$('ingest').innerText")
    told = (
        "12 messages (if it does not empty, see OldestEventAge in docs/runbook.md); 3 dead letters of the event queue"
    )
    assert told in tab.read("$('summary').textContent")
    assert tab.read("headlineFor({...newest, eventQueue: {messages: 12}}, 0)[1]") == "Events are in the event queue."


def test_every_control_has_an_accessible_name(tab: Tab, shown: Shown) -> None:
    open_state(tab, shown, "parked")
    found = tab.accessible()
    usable = [each for each in found if each["role"] in NAMED]
    assert len(usable) > 20
    assert [each for each in usable if not each["name"]] == []
    headings = [each["name"] for each in found if each["role"] == "heading"]
    assert headings[:2] == ["Some changes need you.", "Segment"]
    assert {
        "Dead letters",
        "Alarms",
        "Audiences at Amazon",
        "Rejected events in 24 hours",
        "Recent uploads",
    } <= set(headings)
    assert any(each["role"] == "status" for each in found), "the heading is announced when it changes"


def test_every_control_is_reachable_by_keyboard_with_visible_focus(tab: Tab, shown: Shown) -> None:
    open_state(tab, shown, "parked")
    reached: list[str] = []
    for _ in range(60):
        tab.key("Tab")
        element = tab.read(FOCUSED)
        if element.startswith("BODY"):
            break
        outline = tab.read("getComputedStyle(document.activeElement).outlineStyle")
        assert outline != "none", element
        reached.append(element)
    in_sight = ["range", "wanted", "look", "pause", "more-reasons", "redrive"]
    assert reached[: len(in_sight)] == in_sight, "in the order in which they are seen"
    assert len([each for each in reached if each.startswith("BUTTON open")]) > 10


def test_redriving_asks_first_and_focuses_the_button_no(tab: Tab, shown: Shown) -> None:
    open_state(tab, shown, "parked")
    what = tab.read("$('dead-letters-what').textContent")
    assert what == "3 dead letters wait: 2 access denied, 1 request rejected."
    tab.read("$('redrive').focus()")
    tab.key("Enter")
    tab.wait("$('asking').open")
    assert tab.read("$('asking-title').textContent") == "Redrive 3 dead letters?"
    assert "2 of the changes are exits" in tab.read("$('asking-what').textContent")
    assert tab.read("document.activeElement.id") == "asking-no"
    dialog = [each for each in tab.accessible() if each["role"] == "dialog"]
    assert [each["name"] for each in dialog] == ["Redrive 3 dead letters?"]

    tab.key("Escape")
    assert not tab.read("$('asking').open")
    assert tab.read("document.activeElement.id") == "redrive"
    tab.key("Enter")
    tab.key("Enter")  # Cancel
    assert not tab.read("$('asking').open")
    assert shown.redriven == []


def test_dead_letters_are_redriven_by_reason_and_the_outcome_is_shown(tab: Tab, shown: Shown) -> None:
    open_state(tab, shown, "parked")
    tab.read("$('redrive').click()")
    choices = "[...$('asking-reason').options].map((each) => each.text)"
    assert tab.read(choices) == ["any", "access denied", "request rejected"]
    tab.read("$('asking-reason').value = 'access_denied'; $('asking-reason').dispatchEvent(new Event('change'))")
    assert tab.read("$('asking-title').textContent") == "Redrive 2 dead letters?"
    tab.key("Tab")
    assert tab.read("document.activeElement.id") == "asking-yes"
    tab.key("Enter")
    tab.wait("$('opened').open")
    assert shown.redriven == ["access_denied"]
    assert tab.read("$('opened-facts').textContent") == "3 dead letters redriven."
    tab.wait("$('dead-letters').hidden")


def test_a_pause_asks_for_the_reason_and_the_same_place_resumes(tab: Tab, shown: Shown) -> None:
    tab.read("$('pause').focus()")
    tab.key("Enter")
    tab.wait("$('pausing').open")
    assert tab.read("document.activeElement.id") == "pausing-note"
    assert "exits and deletions also, for seven days at most" in tab.read("$('pausing-what').textContent")
    assert not [each for each in tab.read(CONTRASTS) if each[0] < 4.5]
    tab.call("Input.insertText", text="asked by legal")
    tab.read("$('pausing-yes').click()")
    tab.wait(f"!$('pausing').open && $('headline').textContent.startsWith({states.PAUSED.sentence!r})")
    tab.read("$('resume').click()")
    tab.wait("!$('pause').hidden && $('resume').hidden")
    assert tab.read("$('headline').textContent") == HEADLINES["flowing"]
    assert shown.switched == [("pause", "asked by legal"), ("resume", "")]


def test_rejections_dead_letters_alarms_and_log_lines_can_be_opened(tab: Tab, shown: Shown) -> None:
    open_state(tab, shown, "parked")
    for place, words in {
        "#rejected-reasons": ("need a consent signal", "Map amzn_user_data, tcf or gpp.", "Reason codes"),
        "#rejected-events": (
            "consent_missing",
            "Map amzn_user_data, tcf or gpp.",
            "personas_2nG0kXa0FhXg9DmBjJpX1qTqZcQ",
            "mappings try",
        ),
        "#dead": (
            "access to the advertiser",
            "cust_48120",
            "terms not accepted",
            "then redrive",
            "audience-sync parked show 0a2b3c4d",
        ),
        "#alarm-list": ("docs/runbook.md, DeadLetters",),
        "#log": ("throttled",),
        "#uploads": ("Lapsed premium buyers", "1449"),
    }.items():
        tab.read(f"document.querySelector('{place} .open').click()")
        tab.wait("$('opened').open")
        text = tab.read("$('opened').innerText")
        assert [each for each in words if each not in text] == [], place
        tab.key("Escape")
        assert not tab.read("$('opened').open")


def test_a_lost_server_is_reported_and_the_last_numbers_stay(tab: Tab) -> None:
    tab.call("Network.enable")
    unreachable = {"offline": True, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0}
    tab.call("Network.emulateNetworkConditions", **unreachable)
    tab.read("poll()")
    tab.wait("$('headline').textContent.includes('does not answer')")
    assert "2,352,901" in tab.read("$('segment').innerText")


def test_a_blocker_that_needs_a_person_is_the_heading_without_a_next_retry(tab: Tab, shown: Shown) -> None:
    open_state(tab, shown, "revoked")
    assert tab.read("$('next-try').hidden")
    assert "9,500 changes waiting in 31 messages of the change queue; none is lost" in tab.read(
        "$('summary').textContent"
    )


def test_the_chosen_time_range_is_kept_in_the_address(tab: Tab, server: DashboardServer) -> None:
    tab.read("$('range').value = '7d'; $('range').dispatchEvent(new Event('change'))")
    tab.wait("newest.range === '7d'")
    assert (tab.read("location.href")) == f"{server.url}?range=7d"
    tab.read("window.isOld = true")
    tab.call("Page.reload")
    tab.wait("!window.isOld && document.getElementById('range')?.value === '7d'")
    tab.wait("$('rejected-title').textContent === 'Rejected events in 24 hours'")  # the span of these facts
    tab.read("$('range').value = ''; $('range').dispatchEvent(new Event('change'))")
    assert (tab.read("location.href")) == server.url


def test_plots_are_labelled_and_empty_audiences_are_not_counted(tab: Tab) -> None:
    captions = "[...document.querySelectorAll('#audiences tr')].map((each) => each.children[2].innerText.trim())"
    assert (tab.read(captions))[1] == "105,710 \N{RIGHTWARDS ARROW} 88,210 in 14 days"
    tab.read("clearTimeout(timer)")
    line = "[[at - 90, 5], [at - 60, 7], [at, 5]]"
    for points, caption in ((line, "between 5 and 7 in 2 minutes"), ("[[at - 60, 0]]", "unchanged for 1 minute")):
        one = f"(() => {{ const at = newest.at; return {{...newest.audiences[0], size: 0, sizes: {points}}}; }})()"
        tab.read(f"show({{...newest, audiences: [{one}, ...newest.audiences.slice(1)]}})")
        assert (tab.read(captions))[-1] == caption, "the smallest is the last"
    assert "members in 2 of 3 audiences" in tab.read("$('summary').textContent")
    assert tab.read("$('matched').textContent") == "in 2 of 3 audiences, 64.1% matched"


def test_the_page_says_since_when_and_why_changes_wait_and_when_the_next_try_is(tab: Tab) -> None:
    tab.read("clearTimeout(timer)")
    for reason, needs_person, heading, waits, next_try in (
        ("throttled", "false", "Changes are on their way.", ": Amazon is busy", True),
        ("stalled", "false", "Nothing is delivered at the moment.", ": Amazon is busy", True),
        ("paused", "true", "Amazon is busy. Wait.", "", False),
    ):
        why = f"reason: '{reason}', sentence: 'Amazon is busy.', remedy: 'Wait.', needsPerson: {needs_person}"
        tab.read(f"show({{...newest, blockers: [{{{why}, since: newest.at - 90, nextTry: newest.at + 300}}]}})")
        assert tab.read("$('headline').textContent") == heading
        since = tab.read("clock(newest.at - 90)")
        assert f"the oldest waits since {since}{waits};" in tab.read("$('summary').textContent")
        assert tab.read("$('next-try').hidden") is not next_try
    assert "1,050 changes waiting in 5 messages of the change queue" in tab.read("$('summary').textContent")


def test_find_starts_with_the_enter_key_and_keeps_the_id_out_of_the_address(tab: Tab) -> None:
    for wanted, seen in (
        ("cust_48121", ("Found 1 entry", "Member of VIP", "left")),
        ("nobody", ("Search by id", "Nothing is stored")),
    ):
        tab.read("$('wanted').focus()")
        tab.call("Input.insertText", text=wanted)
        tab.key("Enter")
        tab.wait("$('opened').open")
        text = tab.read("$('opened').innerText")
        assert [each for each in seen if each not in text] == []
        assert "erased" not in text, "what is not so is left out"
        assert wanted not in tab.read("location.href + document.title + $('wanted').value")
        tab.key("Escape")
        assert tab.read("document.activeElement.id") == "wanted"


def test_scrollable_parts_show_a_shadow(tab: Tab) -> None:
    tab.read("clearTimeout(timer)")
    tab.read("show({...newest, uploads: Array.from({length: 34}, (_, n) => ({...newest.uploads[0], n}))})")
    scrolling = "[...document.querySelectorAll('#records *')].filter((each) => each.scrollHeight > each.clientHeight"
    scrolling += " && getComputedStyle(each).overflowY === 'auto').map((each) =>"
    assert tab.read(f"{scrolling} getComputedStyle(each).backgroundAttachment)") == ["local, local, scroll, scroll"]


def test_a_hidden_page_sends_no_requests(tab: Tab) -> None:
    hide = "Object.defineProperty(document, 'hidden', { value: true, configurable: true })"
    scheduled = "poll().then(() => { const before = timer; clearTimeout(timer); return before; })"
    tab.read(f"{hide}; window.timers = 0; window.setTimeout = () => {{ timers += 1; return 1; }}")
    tab.call("Runtime.evaluate", expression=scheduled, awaitPromise=True)
    assert tab.read("timers") == 0


def test_unread_parts_are_named_and_late_parts_are_not_faults(tab: Tab) -> None:
    tab.read("clearTimeout(timer)")
    tab.read("show({...newest, unread: ['audiences', 'log']})")
    assert tab.read("$('problems').innerText") == "Still reading: audiences, log."
    denied = "{part: 'counts', message: 'AWS does not allow you to call GetMetricData.', remedy: 'Ask for it.'}"
    tab.read(f"show({{...newest, unread: [], problems: [{denied}]}})")
    assert tab.read("$('headline').textContent") == "The counts cannot be read."
    assert "GetMetricData. Ask for it." in tab.read("$('problems').innerText")
    tab.read("show({...newest, problems: [], queue: {visible: 0, inWork: 0, delayed: 0, total: 0}})")
    assert tab.read("$('headline').textContent") == HEADLINES["flowing"]
    queued = "counts: {...newest.counts, waiting: 0}, queue: {visible: 1, inWork: 0, delayed: 0, total: 1}"
    tab.read(f"show({{...newest, {queued}}})")
    assert tab.read("$('headline').textContent") == HEADLINES["flowing"], "a message waits that is not counted yet"
    tab.read("show({...newest, counts: {...newest.counts, unaccounted: 7}})")
    assert tab.read("$('headline').textContent") == "The counts do not add up."
    assert tab.read("$('balance').textContent") == "7 in none of them"
    tab.read("show({...newest, counts: {...newest.counts, unaccounted: 0, countedTwice: 7}})")
    assert tab.read("$('balance').textContent") == "7 counted twice"
    tab.read("show({...newest, parkedSince: '2 redriven, dropped or expired'})")
    assert "parked (2 redriven, dropped or expired)" in tab.read("$('terms').textContent")


def test_sizes_are_unknown_instead_of_zero_before_the_first_job(tab: Tab, shown: Shown) -> None:
    open_state(tab, shown, "empty")
    assert tab.read("$('matched').textContent") == "in 1 audience, not known yet"
    assert "not known yet" in tab.read("$('audiences').innerText")
    assert tab.read("$('members').textContent") == "\N{EN DASH}"
    tab.read("clearTimeout(timer)")
    tab.read("show({...newest, audiences: []})")
    assert tab.read("$('matched').textContent") == "no audience is listed"


def test_the_question_counts_exits_as_a_minimum_if_not_all_dead_letters_were_read(tab: Tab, shown: Shown) -> None:
    open_state(tab, shown, "parked")
    tab.read("clearTimeout(timer)")
    tab.read("show({...newest, deadLetters: 700})")
    tab.read("$('redrive').click()")
    assert tab.read("$('asking-title').textContent") == "Redrive 700 dead letters?"
    assert "At least 2 of the changes are exits" in tab.read("$('asking-what').textContent")
    tab.read("$('asking-reason').value = 'access_denied'")
    tab.read("$('asking-reason').dispatchEvent(new Event('change'))")
    assert tab.read("$('asking-title').textContent") == "Redrive all dead letters of this reason?"


def test_in_an_outage_the_next_retry_counts_down(tab: Tab, shown: Shown) -> None:
    open_state(tab, shown, "outage")
    assert (tab.read("$('next-try').textContent")).startswith("next try within ")
    later: Any = "showNextTry({...newest, at: newest.blockers[0].nextTry - 5})"
    tab.read(f"clearTimeout(timer); {later}")
    assert tab.read("$('next-try').textContent") == "next try within 5 seconds"
    tab.read("showNextTry({...newest, blockers: [{...newest.blockers[0], nextTry: null}]})")
    assert tab.read("$('next-try').textContent") == "next try within three minutes"
