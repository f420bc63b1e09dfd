"use strict";
// The five steps, the sum, and the sentences about them.
const SHOWN_REASONS = 3;
const LONG = 7; // characters of a figure that still leave room for the noun beside it

function showNumbers(facts) {
  for (const element of document.querySelectorAll("[data-n]")) {
    const value = at(element.dataset.n, facts);
    setText(element, number(value));
    element.parentElement.classList.toggle("long", element.textContent.length > LONG);
    if ("alarm" in element.dataset) element.classList.toggle("alarm", value > 0);
  }
  for (const element of document.querySelectorAll("[data-noun]")) {
    setText(element, at(element.dataset.noun, facts) === 1 ? element.dataset.one : element.dataset.many);
  }
}

const LONG_IN_WORK = 60; // seconds; an invocation of the worker takes less

// Messages that the worker has received and not ended. Empty while that is nothing to worry about; in an outage, the
// worker hides them until the next try.
function inWork({ inFlight, amazonFails, at: now }) {
  if (amazonFails || inFlight?.since == null || now - inFlight.since < LONG_IN_WORK) return "";
  return `${counted(inFlight.messages, "message", "messages")} in work for ${duration(now - inFlight.since)}; back in the queue by ${clock(inFlight.until)} at the latest`;
}

function showSteps(facts) {
  const { queue, activity, rejected } = facts;
  const isArriving = sumOf(activity.arrived.slice(-3)) > 0;
  $("segment").classList.toggle("busy", isArriving);
  $("ingest").classList.toggle("busy", isArriving);
  document.querySelectorAll(".of-event-queue").forEach((each) => { each.hidden = !facts.eventQueue; });
  $("queue").classList.toggle("busy", queue.total > 0);
  $("queue").classList.toggle("full", facts.deadLetters > 0);
  $("worker").classList.toggle("busy", queue.inWork > 0);
  $("amazon").classList.toggle("busy", facts.jobsPending > 0);
  const commonest = rejected.slice(0, SHOWN_REASONS).map(({ reason, times }, n) => `${n ? "" : `${spanOf(facts).trim()}: `}${number(times)} ${words(reason)}`);
  list($("reasons"), commonest, (text) => text, (text) => make("li", text));
  const more = rejected.length - commonest.length;
  $("more-reasons").hidden = more <= 0;
  setText($("more-reasons"), more > 0 ? `and ${counted(more, "more reason", "more reasons")}` : "");
  const inAudiences = facts.audiences.length ? facts.inAudiences : "no audience is listed";
  $("repeated").hidden = !facts.counts.repeated;
  const matched = facts.matchRate == null ? "" : `, ${percent(facts.matchRate)} matched`;
  setText($("matched"), facts.isSizeKnown || !facts.audiences.length ? inAudiences + matched : `${inAudiences}, not known yet`);
  if (!facts.isSizeKnown) setText($("members"), "\u2013");
  setText($("jobs"), facts.jobsPending ? `${counted(facts.jobsPending, "job", "jobs")} pending` : "");
  $("in-work").hidden = !inWork(facts);
  setText($("in-work"), inWork(facts));
  showNextTry(facts);
}

// What stands in the way until a person acts: no next try will change it.
const needsPerson = ({ blockers }) => blockers.find((each) => each.needsPerson);

function showNextTry(facts) {
  const { amazonFails, waiting, nextTry, at: now } = facts;
  $("next-try").hidden = !amazonFails || !waiting || needsPerson(facts) != null;
  const seconds = nextTry == null ? null : Math.ceil(nextTry - now);
  setText($("next-try"), seconds == null ? "next try within three minutes" : seconds > 0 ? `next try in ${duration(seconds)}` : "next try now");
}

function showSum({ counts, parkedSince }) {
  const off = counts.unaccounted; // only the audit can know: counts arrive some minutes late, and not all at the same time
  const waiting = Math.max(0, counts.waiting - off);
  const parts = { delivered: counts.delivered, superseded: counts.superseded, parked: counts.parked, waiting, unaccounted: off };
  for (const [name, value] of Object.entries(parts)) {
    const part = $("bar").querySelector(`.${name}`);
    part.style.flexGrow = Math.max(0, value);
    part.classList.toggle("some", value > 0);
  }
  const twice = counts.countedTwice ? `${number(counts.countedTwice)} counted twice` : "adds up";
  const balance = off ? `${number(off)} in none of them` : twice;
  setText($("parked-since"), parkedSince && `(${parkedSince})`);
  setText($("balance"), counts.accepted ? balance : "");
  $("balance").classList.toggle("alarm", off !== 0);
  return { off, waiting };
}

// The heading is announced to screen readers, so it names the situation and holds no number that runs.
function headlineFor(facts, off) {
  const { counts, queue, warnings } = facts;
  // The queue is known at once and the counts some minutes later. A message that SQS itself has moved
  // to the dead letters is in none of the counts.
  const isCounted = facts.waiting > 0 && (queue.total > 0 || !facts.deadLetters);
  const isWaiting = isCounted || queue.visible + queue.inWork > 0;
  // AudiencesShrunk is on for weeks, and no change waits.
  const alarms = (facts.alarms ?? []).filter((each) => each.state === "ALARM" && each.name !== "AudiencesShrunk");
  if (facts.problems.some((each) => each.part === "counts")) return ["offline", "The counts cannot be read."];
  const blocked = needsPerson(facts);
  if (blocked) return ["refused", `${blocked.sentence} ${blocked.remedy}`.replaceAll("`", "").trim()];
  if (off) return ["stuck", "The counts do not add up."];
  if (isWaiting && facts.amazonFails) return ["refused", "Amazon is not accepting uploads. Changes are waiting."];
  if (isWaiting && facts.inFlight?.stalledSince != null) return ["refused", "Nothing is delivered at the moment."];
  if (isWaiting) return ["moving", "Changes are on their way."];
  if (facts.deadLetters) return ["stuck", "Some changes need you."];
  if (facts.eventQueue?.deadLetters) return ["stuck", "Some events need you."];
  if (alarms.length) return ["stuck", alarms.length === 1 ? `The alarm ${alarms[0].name} is on.` : `${number(alarms.length)} alarms are on.`];
  if (facts.eventQueue?.messages) return ["moving", "Events are in the event queue."];
  if (counts.accepted) return ["still", "Everything has arrived."];
  if (warnings.unauthorized) return ["still", "Requests arrive with a wrong key."];
  if (warnings.withoutCredential) return ["still", "Requests arrive without a key."];
  return counts.eventsIgnored + counts.eventsRejected ? ["still", "Nothing to deliver so far."] : ["still", "Waiting for the first event."];
}

function summaryOf(facts) {
  const { rejected, place } = facts;
  if (facts.problems.some((each) => each.part === "counts")) return "See the reason below.";
  const ofEvents = facts.needs.filter((each) => each.reason === "event_dead_letters").map((each) => each.text.replace(/\.$/, ""));
  if (!facts.arrived && !facts.eventQueue?.messages && !ofEvents.length) {
    return place.kind === "local" ? "Send sample members, or one event below." : "Segment has sent nothing yet. The command audience-sync test checks what it needs.";
  }
  const sentences = [facts.waiting && needsPerson(facts) ? `${facts.waitingText}; none is lost` : facts.waitingText];
  if (inWork(facts)) sentences.push(inWork(facts));
  if (facts.isSizeKnown) sentences.push(`Amazon holds ${counted(facts.members, "member", "members")} ${facts.inAudiences}`);
  if (facts.deadLetters) sentences.push(counted(facts.deadLetters, "dead letter needs you", "dead letters need you"));
  else if (rejected.length) {
    const [first, second] = rejected;
    const why = !second ? `: ${words(first.reason)}` : first.times > second.times ? `, most often: ${words(first.reason)}` : "";
    const what = rejected.some((each) => each.reason === "consent_denied") ? "rejected or denying consent" : "rejected";
    sentences.push(`${counted(sumOf(rejected.map((each) => each.times)), "event", "events")} ${what}${spanOf(facts)}${why}`);
  }
  return `${[...sentences, ...ofEvents].join("; ")}.`;
}
