"""The dashboard in a browser: sizes, light and dark, keyboard, screen reader, and the buttons that ask."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from audience_sync_cli.dashboard.facts import Facts
from audience_sync_cli.dashboard.server import DashboardServer
from audience_sync_cli.errors import NotThere, WrongUsage
from audience_sync_cli.parked.acknowledged import Acknowledgement
from tests.e2e import chromium
from tests.e2e.chromium import Tab
from tests.unit.cli.dashboard import states

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        chromium.installed() is None, reason=f"no browser: none of {', '.join(chromium.NAMES)} is installed"
    ),
]

STATES: dict[str, Callable[[float], Facts]] = {
    "empty": states.empty,
    "flowing": states.flowing,
    "outage": states.outage,
    "revoked": states.revoked,
    "parked": states.parked,
}
HEADLINES = {
    "empty": "Waiting for the first event.",
    "flowing": "Changes are on their way.",
    "outage": "Amazon does not take the changes. They wait.",
    "revoked": "Amazon no longer accepts the stored authorization. Run audience-sync connect.",
    "parked": "Some changes need you.",
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
        self.acknowledged: list[dict[str, str]] = []

    def read(self, chosen: str) -> Facts:
        facts = replace(STATES[self.state](time.time()), range=chosen)
        known = [
            Acknowledgement(each["reason"], "", each["note"], "x:user/ada", facts.at) for each in self.acknowledged
        ]
        facts = replace(facts, parked=facts.parked.acknowledged(known))
        return replace(facts, dead_letters=0, parked=states.empty().parked) if self.redriven else facts

    def redrive(self, reason: str) -> list[str]:
        self.redriven.append(reason)
        return ["3 dead letters redriven."]

    def acknowledge(self, fields: Mapping[str, str]) -> list[str]:
        if not fields["note"]:
            raise WrongUsage("The note must have 1 to 200 characters.")
        self.acknowledged.append(dict(fields))
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


type Visit = Callable[[Callable[[Tab], Awaitable[None]]], None]


@pytest.fixture
def visit(server: DashboardServer, shown: Shown, tmp_path: Path) -> Visit:
    """Open the page, do something on it, and expect that nothing was refused or raised."""

    async def run(work: Callable[[Tab], Awaitable[None]]) -> None:
        async with chromium.tab(tmp_path / "profile") as tab:
            await tab.call("Page.enable")
            await tab.call("Page.addScriptToEvaluateOnNewDocument", source=WATCH)
            await tab.show()
            await tab.open(server.url)
            await tab.wait(f"$('headline').textContent === {HEADLINES[shown.state]!r}")
            await work(tab)
            assert await tab.read("faults") == []

    return lambda work: asyncio.run(run(work))


async def open_state(tab: Tab, shown: Shown, state: str) -> None:
    shown.state = state
    await tab.read("poll()")
    await tab.wait(f"$('headline').textContent === {HEADLINES[state]!r}")


def test_every_state_fits_and_can_be_read_on_phone_and_desktop_in_light_and_dark(visit: Visit, shown: Shown) -> None:
    async def work(tab: Tab) -> None:
        for state in STATES:
            await open_state(tab, shown, state)
            for width in (1280, 400):
                for dark in (False, True):
                    await tab.show(width=width, dark=dark)
                    assert await tab.read("document.scrollingElement.scrollWidth") <= width, (state, width)
                    paper = await tab.read("getComputedStyle(document.body).backgroundColor")
                    assert (paper == "rgb(22, 23, 21)") is dark
                    faint = [each for each in await tab.read(CONTRASTS) if each[0] < 4.5]  # WCAG AA, for small text
                    assert faint == [], (state, width, dark)

    visit(work)


def test_a_screen_reader_finds_a_name_for_everything_that_can_be_used(visit: Visit, shown: Shown) -> None:
    async def work(tab: Tab) -> None:
        await open_state(tab, shown, "parked")
        found = await tab.accessible()
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

    visit(work)


def test_everything_can_be_reached_with_the_keyboard_and_shows_that_it_is_reached(visit: Visit, shown: Shown) -> None:
    async def work(tab: Tab) -> None:
        await open_state(tab, shown, "parked")
        reached: list[str] = []
        for _ in range(60):
            await tab.key("Tab")
            element = await tab.read(FOCUSED)
            if element.startswith("BODY"):
                break
            outline = await tab.read("getComputedStyle(document.activeElement).outlineStyle")
            assert outline != "none", element
            reached.append(element)
        in_sight = ["range", "wanted", "look", "more-reasons", "acknowledge", "redrive"]
        assert reached[: len(in_sight)] == in_sight, "in the order in which they are seen"
        assert len([each for each in reached if each.startswith("BUTTON open")]) > 10

    visit(work)


def test_redriving_asks_and_no_is_the_first_answer(visit: Visit, shown: Shown) -> None:
    async def work(tab: Tab) -> None:
        await open_state(tab, shown, "parked")
        what = await tab.read("$('dead-letters-what').textContent")
        assert what == "3 dead letters wait: 2 access denied, 1 request rejected."
        await tab.read("$('redrive').focus()")
        await tab.key("Enter")
        await tab.wait("$('asking').open")
        assert await tab.read("$('asking-title').textContent") == "Redrive 3 dead letters?"
        assert "2 of the changes are exits" in await tab.read("$('asking-what').textContent")
        assert await tab.read("document.activeElement.id") == "asking-no"
        dialog = [each for each in await tab.accessible() if each["role"] == "dialog"]
        assert [each["name"] for each in dialog] == ["Redrive 3 dead letters?"]

        await tab.key("Escape")
        assert not await tab.read("$('asking').open")
        assert await tab.read("document.activeElement.id") == "redrive"
        await tab.key("Enter")
        await tab.key("Enter")  # Cancel
        assert not await tab.read("$('asking').open")
        assert shown.redriven == []

    visit(work)


def test_what_is_redriven_is_chosen_by_its_reason_and_the_outcome_is_shown(visit: Visit, shown: Shown) -> None:
    async def work(tab: Tab) -> None:
        await open_state(tab, shown, "parked")
        await tab.read("$('redrive').click()")
        choices = "[...$('asking-reason').options].map((each) => each.text)"
        assert await tab.read(choices) == ["any", "access denied", "request rejected"]
        await tab.read(
            "$('asking-reason').value = 'access_denied'; $('asking-reason').dispatchEvent(new Event('change'))"
        )
        assert await tab.read("$('asking-title').textContent") == "Redrive 2 dead letters?"
        await tab.key("Tab")
        assert await tab.read("document.activeElement.id") == "asking-yes"
        await tab.key("Enter")
        await tab.wait("$('opened').open")
        assert shown.redriven == ["access_denied"]
        assert await tab.read("$('opened-facts').textContent") == "3 dead letters redriven."
        await tab.wait("$('dead-letters').hidden")

    visit(work)


def test_what_is_acknowledged_with_a_note_no_longer_asks_for_a_person(visit: Visit, shown: Shown) -> None:
    async def work(tab: Tab) -> None:
        await open_state(tab, shown, "parked")
        await tab.read("$('acknowledge').focus()")
        for reason, note, heading in (
            ("access_denied", "terms are with legal", HEADLINES["parked"]),
            ("", "the rest is known", "All dead letters are acknowledged."),
        ):
            await tab.key("Enter")
            await tab.wait("$('knowing').open")
            assert await tab.read("document.activeElement.id") == "knowing-note"
            await tab.read("$('knowing-yes').click()")
            await tab.wait("$('knowing-error').textContent === 'The note must have 1 to 200 characters.'")
            assert not [each for each in await tab.read(CONTRASTS) if each[0] < 4.5]
            await tab.read(f"$('knowing-reason').value = '{reason}'; $('knowing-note').focus()")
            await tab.call("Input.insertText", text=note)
            await tab.read("$('knowing-yes').click()")
            await tab.wait(f"!$('knowing').open && $('dead').innerText.includes('acknowledged by ada: {note}')")
            assert await tab.read("$('headline').textContent") == heading
            assert await tab.read("document.activeElement.id") == "acknowledge"
        assert await tab.read("$('summary').textContent.includes('3 dead letters are acknowledged')")
        assert shown.acknowledged[0] == {"reason": "access_denied", "audienceId": "", "note": "terms are with legal"}

    visit(work)


def test_a_rejected_event_a_dead_letter_an_alarm_and_a_log_line_can_be_opened(visit: Visit, shown: Shown) -> None:
    async def work(tab: Tab) -> None:
        await open_state(tab, shown, "parked")
        for place, words in {
            "#rejected-reasons": ("without consent", "Map a consent field.", "Reason codes"),
            "#rejected-events": (
                "consent_missing",
                "Map a consent field.",
                "personas_2nG0kXa0FhXg9DmBjJpX1qTqZcQ",
                "mappings try",
            ),
            "#dead": (
                "access to the advertiser",
                "cust_48120",
                "AMC terms",
                "then redrive",
                "audience-sync parked show 0a2b3c4d",
            ),
            "#alarm-list": ("docs/runbook.md, DeadLetters",),
            "#log": ("throttled",),
            "#requests": ("Lapsed premium buyers", "1449"),
        }.items():
            await tab.read(f"document.querySelector('{place} .open').click()")
            await tab.wait("$('opened').open")
            text = await tab.read("$('opened').innerText")
            assert [each for each in words if each not in text] == [], place
            await tab.key("Escape")
            assert not await tab.read("$('opened').open")

    visit(work)


def test_a_server_that_is_gone_is_named_and_the_last_numbers_stay(visit: Visit) -> None:
    async def work(tab: Tab) -> None:
        await tab.call("Network.enable")
        unreachable = {"offline": True, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0}
        await tab.call("Network.emulateNetworkConditions", **unreachable)
        await tab.read("poll()")
        await tab.wait("$('headline').textContent.includes('does not answer')")
        assert "2,352,901" in await tab.read("$('segment').innerText")

    visit(work)


def test_what_needs_a_person_is_the_heading_and_no_next_try_is_promised(visit: Visit, shown: Shown) -> None:
    async def work(tab: Tab) -> None:
        await open_state(tab, shown, "revoked")
        assert await tab.read("$('next-try').hidden")
        assert "9,500 changes wait until then, and none is lost" in await tab.read("$('summary').textContent")

    visit(work)


def test_a_range_stays_in_the_address_and_its_span_is_named(visit: Visit, server: DashboardServer) -> None:
    async def work(tab: Tab) -> None:
        await tab.read("$('range').value = '7d'; $('range').dispatchEvent(new Event('change'))")
        await tab.wait("newest.range === '7d'")
        assert (await tab.read("location.href")) == f"{server.url}?range=7d"
        await tab.read("window.isOld = true")
        await tab.call("Page.reload")
        await tab.wait("!window.isOld && document.getElementById('range')?.value === '7d'")
        await tab.wait("$('rejected-title').textContent === 'Rejected events in 24 hours'")  # the span of these facts
        await tab.read("$('range').value = ''; $('range').dispatchEvent(new Event('change'))")
        assert (await tab.read("location.href")) == server.url

    visit(work)


def test_lines_say_from_what_to_what_and_audiences_without_members_are_not_counted(visit: Visit) -> None:
    async def work(tab: Tab) -> None:
        captions = "[...document.querySelectorAll('#audiences tr')].map((each) => each.children[2].innerText.trim())"
        assert (await tab.read(captions))[1] == "105,710 \N{RIGHTWARDS ARROW} 88,210 in 14 days"
        await tab.read("clearTimeout(timer)")
        line = "[[at - 90, 5], [at - 60, 7], [at, 5]]"
        for points, caption in ((line, "between 5 and 7 in 2 minutes"), ("[[at - 60, 0]]", "unchanged for 1 minute")):
            one = f"(() => {{ const at = newest.at; return {{...newest.audiences[0], size: 0, sizes: {points}}}; }})()"
            await tab.read(f"show({{...newest, audiences: [{one}, ...newest.audiences.slice(1)]}})")
            assert (await tab.read(captions))[0] == caption
        assert "members in 2 of 3 audiences" in await tab.read("$('summary').textContent")
        assert await tab.read("$('matched').textContent") == "in 2 of 3 audiences, 64.1% matched"

    visit(work)


def test_messages_that_are_in_work_for_long_say_by_when_they_are_back(visit: Visit) -> None:
    async def work(tab: Tab) -> None:
        await tab.read("clearTimeout(timer)")
        for seconds, stalled, expected in (
            (20, "null", ("Changes are on their way.", "")),
            (90, "null", ("Changes are on their way.", "79 messages in work for 2 minutes; back in the queue by ")),
            (360, "at - 360", ("Nothing is delivered at the moment.", "79 messages in work for 6 minutes; back")),
        ):
            times = f"{{messages: 79, since: at - {seconds}, until: at + 300, stalledSince: {stalled}}}"
            await tab.read(f"(() => {{ const at = newest.at; show({{...newest, inFlight: {times}}}); }})()")
            heading, shown = expected
            assert await tab.read("$('headline').textContent") == heading
            assert (await tab.read("$('in-work').textContent")).startswith(shown)
            assert await tab.read("$('in-work').hidden") is not bool(shown)
            assert shown in await tab.read("$('summary').textContent")
        assert "1,050 changes wait or are in work;" in await tab.read("$('summary').textContent")
        await tab.read("show({...newest, amazonFails: true})")
        assert await tab.read("$('in-work').hidden"), "the next try is shown instead"

    visit(work)


def test_an_id_is_looked_for_with_the_enter_key_and_is_nowhere_in_the_address(visit: Visit) -> None:
    async def work(tab: Tab) -> None:
        for wanted, seen in (
            ("cust_48121", ("Found 1 entry", "Member of VIP", "left")),
            ("nobody", ("Nothing found",)),
        ):
            await tab.read("$('wanted').focus()")
            await tab.call("Input.insertText", text=wanted)
            await tab.key("Enter")
            await tab.wait("$('opened').open")
            text = await tab.read("$('opened').innerText")
            assert [each for each in seen if each not in text] == []
            assert "erased" not in text, "what is not so is left out"
            assert wanted not in await tab.read("location.href + document.title + $('wanted').value")
            await tab.key("Escape")
            assert await tab.read("document.activeElement.id") == "wanted"

    visit(work)


def test_whatever_scrolls_has_a_shadow_where_there_is_more(visit: Visit) -> None:
    async def work(tab: Tab) -> None:
        await tab.read("clearTimeout(timer)")
        await tab.read("show({...newest, uploads: Array.from({length: 34}, (_, n) => ({...newest.uploads[0], n}))})")
        scrolling = (
            "[...document.querySelectorAll('#records *')].filter((each) => each.scrollHeight > each.clientHeight"
        )
        scrolling += " && getComputedStyle(each).overflowY === 'auto').map((each) =>"
        assert await tab.read(f"{scrolling} getComputedStyle(each).backgroundAttachment)") == [
            "local, local, scroll, scroll"
        ]

    visit(work)


def test_a_page_that_is_hidden_asks_nothing(visit: Visit) -> None:
    async def work(tab: Tab) -> None:
        hide = "Object.defineProperty(document, 'hidden', { value: true, configurable: true })"
        scheduled = "poll().then(() => { const before = timer; clearTimeout(timer); return before; })"
        await tab.read(f"{hide}; window.timers = 0; window.setTimeout = () => {{ timers += 1; return 1; }}")
        await tab.call("Runtime.evaluate", expression=scheduled, awaitPromise=True)
        assert await tab.read("timers") == 0

    visit(work)


def test_what_could_not_be_read_is_named_and_what_is_late_is_no_fault(visit: Visit) -> None:
    async def work(tab: Tab) -> None:
        await tab.read("clearTimeout(timer)")
        await tab.read("show({...newest, unread: ['audiences', 'log']})")
        assert await tab.read("$('problems').innerText") == "Still reading: audiences, log."
        denied = "{part: 'counts', message: 'AWS does not allow you to call GetMetricData.', remedy: 'Ask for it.'}"
        await tab.read(f"show({{...newest, unread: [], problems: [{denied}]}})")
        assert await tab.read("$('headline').textContent") == "The counts cannot be read."
        assert "GetMetricData. Ask for it." in await tab.read("$('problems').innerText")
        await tab.read("show({...newest, problems: [], queue: {visible: 0, inWork: 0, delayed: 0, total: 0}})")
        assert await tab.read("$('headline').textContent") == HEADLINES["flowing"]
        assert "CloudWatch does not count 1,050 changes as completed yet" in await tab.read("$('summary').textContent")
        await tab.read("show({...newest, counts: {...newest.counts, unaccounted: 7}})")
        assert await tab.read("$('headline').textContent") == "The counts do not add up."
        assert await tab.read("$('balance').textContent") == "7 in none of them"

    visit(work)


def test_before_the_first_job_sizes_are_not_known_instead_of_zero(visit: Visit, shown: Shown) -> None:
    async def work(tab: Tab) -> None:
        await open_state(tab, shown, "empty")
        assert await tab.read("$('matched').textContent") == "in 1 audience, not known yet"
        assert "not known yet" in await tab.read("$('audiences').innerText")
        assert await tab.read("$('members').textContent") == "\N{EN DASH}"
        await tab.read("clearTimeout(timer)")
        await tab.read("show({...newest, audiences: []})")
        assert await tab.read("$('matched').textContent") == "no audience is listed"

    visit(work)


def test_of_more_dead_letters_than_were_read_the_question_names_all_and_counts_exits_as_a_minimum(
    visit: Visit, shown: Shown
) -> None:
    async def work(tab: Tab) -> None:
        await open_state(tab, shown, "parked")
        await tab.read("clearTimeout(timer)")
        await tab.read("show({...newest, deadLetters: 700})")
        await tab.read("$('redrive').click()")
        assert await tab.read("$('asking-title').textContent") == "Redrive 700 dead letters?"
        assert "At least 2 of the changes are exits" in await tab.read("$('asking-what').textContent")
        await tab.read("$('asking-reason').value = 'access_denied'")
        await tab.read("$('asking-reason').dispatchEvent(new Event('change'))")
        assert await tab.read("$('asking-title').textContent") == "Redrive all dead letters of this reason?"

    visit(work)


def test_in_an_outage_the_next_try_counts_down_between_two_answers(visit: Visit, shown: Shown) -> None:
    async def work(tab: Tab) -> None:
        await open_state(tab, shown, "outage")
        assert (await tab.read("$('next-try').textContent")).startswith("next try in ")
        later: Any = "showNextTry({...newest, at: newest.nextTry - 5})"
        await tab.read(f"clearTimeout(timer); {later}")
        assert await tab.read("$('next-try').textContent") == "next try in 5 seconds"
        await tab.read("showNextTry({...newest, nextTry: null})")
        assert await tab.read("$('next-try').textContent") == "next try within five minutes"

    visit(work)
