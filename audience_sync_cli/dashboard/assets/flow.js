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
  showNextTry(facts);
}

// What stands in the way until a person acts: no next try will change it.
const needsPerson = ({ blockers }) => blockers.find((each) => each.needsPerson);

// Since when the oldest change waits, and why unless the heading says it: the words and times of `audience-sync status`.
function waits(facts) {
  const [why] = facts.blockers;
  if (!facts.waiting || !why) return "";
  const since = why.since == null ? "" : ` since ${clock(why.since)}`;
  return needsPerson(facts) ? since && `the oldest waits${since}` : `the oldest waits${since}: ${why.sentence.replace(/\.$/, "")}`;
}

function showNextTry(facts) {
  const { blockers: [why], waiting, at: now } = facts;
  $("next-try").hidden = !why || !waiting || needsPerson(facts) != null;
  const seconds = why?.nextTry == null ? null : Math.ceil(why.nextTry - now);
  setText($("next-try"), seconds == null ? "next try within three minutes" : seconds > 0 ? `next try within ${duration(seconds)}` : "next try now");
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
  // Findings may be on for weeks, and no change waits.
  const alarms = (facts.alarms ?? []).filter((each) => each.state === "ALARM" && each.name !== "Findings");
  if (facts.problems.some((each) => each.part === "counts")) return ["offline", "The counts cannot be read."];
  const blocked = needsPerson(facts);
  if (blocked) return ["refused", `${blocked.sentence} ${blocked.remedy}`.replaceAll("`", "").trim()];
  if (off) return ["stuck", "The counts do not add up."];
  if (isWaiting && facts.blockers.some((each) => each.reason === "circuit_open")) return ["refused", "Amazon is not accepting uploads. Changes are waiting."];
  if (isWaiting && facts.blockers.some((each) => each.reason === "stalled")) return ["refused", "Nothing is delivered at the moment."];
  if (isWaiting) return ["moving", "Changes are on their way."];
  if (facts.deadLetters) return ["stuck", "Some changes need you."];
  if (facts.eventQueue?.deadLetters) return ["stuck", "Some events need you."];
  if (alarms.length) return ["stuck", alarms.length === 1 ? `The alarm ${alarms[0].name} is on.` : `${number(alarms.length)} alarms are on.`];
  if (facts.eventQueue?.messages) return ["moving", "Events are in the event queue."];
  if (counts.accepted) return ["still", "Everything has arrived."];
  if (warnings.unauthorized) return ["still", "Requests arrive without the right key."];
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
  if (waits(facts)) sentences.push(waits(facts));
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
