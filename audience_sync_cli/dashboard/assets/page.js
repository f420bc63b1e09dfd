"use strict";
// Asks for the facts, again and again while the page can be seen, and shows them.
const RETRY = 2000; // milliseconds, until everything has been read once

function show(facts) {
  newest = facts;
  receivedAt = performance.now();
  const { place, counts } = facts;
  document.body.dataset.place = place.kind;
  const sizes = facts.audiences.map((each) => each.size ?? 0);
  facts.arrived = counts.eventsAccepted + counts.eventsIgnored + counts.eventsRejected;
  facts.members = sumOf(sizes);
  facts.isSizeKnown = facts.audiences.some((each) => each.size != null);
  const held = facts.audiences.filter((each) => each.size).length, all = counted(facts.audiences.length, "audience", "audiences");
  facts.inAudiences = held === facts.audiences.length || !facts.isSizeKnown ? `in ${all}` : `in ${number(held)} of ${all}`;
  const rated = facts.audiences.filter((each) => each.size && each.matchRate != null);
  facts.matchRate = rated.length ? sumOf(rated.map((each) => each.size * each.matchRate)) / sumOf(rated.map((each) => each.size)) : null;
  const names = new Map(facts.audiences.map((each) => [each.audienceId, each.name || each.audienceId]));
  const { off, waiting } = showSum(facts);
  facts.waiting = waiting;
  showNumbers(facts);
  showActivity(facts.activity);
  showSteps(facts);
  showAudiences(facts);
  showRejected(facts);
  showUploads(facts, names);
  showLog(facts.log);
  showDeadLetters(facts, names);
  showAlarms(facts.alarms);
  showProblems(facts);
  showCommand(facts);
  document.dispatchEvent(new CustomEvent("facts", { detail: facts }));
  showRange(facts);
  const [flow, headline] = headlineFor(facts, off);
  document.body.dataset.flow = flow;
  setText($("headline"), headline);
  setText($("summary"), summaryOf(facts));
  const isPaused = facts.blockers.some((each) => each.reason === "paused");
  $("pause").hidden = isPaused;
  $("resume").hidden = !isPaused;
  $("start").hidden = place.kind !== "local" || facts.arrived > 0;
  setText($("place"), place.kind === "local" ? "on this machine" : `${place.name}, ${place.region}`);
  setText($("live"), `${place.kind === "local" ? "live" : `read at ${clock(facts.at)}`}, ${place.api.replace(/^https?:\/\//, "")}`);
  setText($("note"), place.note);
  document.title = `${headline.replace(/\.$/, "")} - ${place.name}`;
}

// Between two answers the time until the next try goes on.
let receivedAt = 0;
setInterval(() => {
  if (newest) showNextTry({ ...newest, at: newest.at + (performance.now() - receivedAt) / 1000 });
}, 1000);

let timer = 0;
async function poll() {
  clearTimeout(timer);
  try {
    const facts = await ask(`?range=${$("range").value}`);
    if (facts.error) throw new Error(facts.error);
    show(facts);
  } catch (error) {
    console.error(error);
    document.body.dataset.flow = "offline";
    setText($("headline"), "The dashboard's program does not answer.");
    setText($("summary"), newest ? "These are its last numbers. The page keeps trying." : "The page keeps trying.");
    setText($("live"), "not connected");
  }
  clearTimeout(timer);
  if (!document.hidden) timer = setTimeout(poll, newest && !newest.unread.length ? newest.place.interval * 1000 : RETRY);
}
// The range is in the address, so that a reload and a bookmark keep it.
function showRange(facts) {
  setText($("usual"), facts.place.kind === "local" ? "5 minutes; audiences 1 hour" : "24 hours; audiences 14 days");
  document.querySelectorAll(".span").forEach((each) => setText(each, spanOf(facts)));
}
$("range").value = new URLSearchParams(location.search).get("range") ?? "";
if ($("range").selectedIndex < 0) $("range").value = "";
$("range").addEventListener("change", () => {
  const address = new URL(location);
  address.searchParams.set("range", $("range").value);
  if (!$("range").value) address.searchParams.delete("range");
  history.replaceState(null, "", address);
  poll();
});
document.addEventListener("visibilitychange", () => { if (!document.hidden) poll(); });
poll();
