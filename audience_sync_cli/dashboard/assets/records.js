"use strict";
// What happened, newest first, and the dialog in which one of them is opened.
function factLines(facts) {
  const shown = Object.entries(facts).filter(([, value]) => value != null && value !== "" && value !== false);
  return shown.map(([name, value]) => {
    const line = make("div");
    line.append(make("dt", words(name)), make("dd", String(value)));
    return line;
  });
}

function openFacts(title, facts) {
  setText($("opened-title"), title);
  $("opened-facts").replaceChildren(...factLines(facts));
  $("opened").showModal();
}

function audienceName(names, id) {
  return id == null ? "" : names.get(id) ?? id;
}

// Many audiences: as many rows as a page can have, those that contain what is typed, by the column that was pressed.
const MOST_ROWS = 200, FEW = 8;
const sorting = { by: "size", ascending: false };

function chosenAudiences(audiences) {
  const typed = $("audience-filter").value.trim().toLowerCase();
  const order = (one, other) => sorting.by === "name" ? one.name.localeCompare(other.name, "en", { numeric: true }) : (one[sorting.by] ?? -1) - (other[sorting.by] ?? -1);
  const found = audiences.filter((each) => `${each.name} ${each.audienceId} ${each.mark}`.toLowerCase().includes(typed));
  found.sort((one, other) => (sorting.ascending ? order(one, other) : order(other, one)));
  $("audience-tools").hidden = audiences.length < FEW;
  setText($("no-audience"), audiences.length ? "No audience contains that." : "No audience is listed.");
  setText($("audiences-shown"), `${number(Math.min(found.length, MOST_ROWS))} of ${counted(audiences.length, "audience", "audiences")}`);
  document.querySelectorAll("[data-sort]").forEach(({ dataset, parentElement }) => {
    parentElement.ariaSort = dataset.sort !== sorting.by ? "none" : sorting.ascending ? "ascending" : "descending";
  });
  return found.slice(0, MOST_ROWS);
}

$("audience-filter").addEventListener("input", () => { if (newest) showAudiences(newest); });
document.querySelectorAll("[data-sort]").forEach((button) => button.addEventListener("click", () => {
  const by = button.dataset.sort;
  sorting.ascending = sorting.by === by ? !sorting.ascending : by === "name";
  sorting.by = by;
  if (newest) showAudiences(newest);
}));

function showAudiences({ audiences, at: now }) {
  list($("audiences"), chosenAudiences(audiences), (each) => each.audienceId, (each) => {
    const name = make("th");
    name.scope = "row";
    name.append(make("b", each.name || each.audienceId), make("span", each.audienceId, "id soft"), make("small", "", "mark"), make("ul", "", "shares"));
    return row(name, make("td", "", "number"), lineCell(), make("td", "", "number"), lineCell());
  }, (line, each) => {
    const [name, size, sizes, rate, rates] = line.children;
    setText(name.querySelector(".mark"), each.mark);
    list(name.lastChild, each.shares, (share) => `${share.shareId} ${share.state}`, ({ account, state, isRevoked, revokedAt }) => {
      const entry = make("li", `${account}: `);
      entry.append(make("span", state, isRevoked ? "alarm" : ""), ` ${moment(revokedAt)}`);
      return entry;
    });
    setText(size, each.size == null ? "not known yet" : number(each.size));
    setText(rate, each.matchRate == null ? "not known yet" : percent(each.matchRate));
    drawLine(sizes, each.sizes, now, Math.max(1, ...each.sizes.map(([, value]) => value)), number);
    drawLine(rates, each.matchRates, now, 100, percent);
  });
}

// A wheel has no docs, and they have no public address: a reason says itself what it means.
function explained(kind, code) {
  const { means, remedy } = newest.reasons[kind][code] ?? {};
  return { meaning: means, "what to do": remedy?.replaceAll("`", ""), more: "docs/runbook.md, Reason codes" };
}

function showRejected({ rejected, rejectedEvents }) {
  $("rejected").hidden = !rejected.length && !rejectedEvents.length;
  const most = Math.max(1, ...rejected.map((each) => each.times));
  list($("rejected-reasons"), rejected, (each) => each.reason, (each) => {
    const share = make("td", "", "share");
    share.append(make("i"));
    const reason = make("td");
    reason.append(openButton(words(each.reason), () => openFacts(words(each.reason), explained("rejected", each.reason))));
    return row(reason, make("td", "", "number"), share);
  }, (line, each) => {
    setText(line.children[1], number(each.times));
    line.lastChild.firstChild.style.width = `${Math.max(1, 100 * each.times / most)}%`;
    line.title = `${percent(100 * each.times / sumOf(rejected.map((each) => each.times)))} of the rejected events`;
  });
  list($("rejected-events"), rejectedEvents, (each) => each.n, (each) => {
    const entry = make("li");
    const { reason = "", message_id: id = "" } = each.more;
    const show = () => openFacts("Rejected event", { time: moment(each.at), ...each.more, ...explained("rejected", reason), "to find it": ADVICE });
    entry.append(make("time", clock(each.at)), openButton(words(reason), show), make("code", id, "soft"));
    return entry;
  });
}
const ADVICE = "Find the event by its message id in Segment. With the event in a file, audience-sync mappings try FILE shows whether a remedy works. No value of it is stored here.";

function showUploads({ uploads }, names) {
  list($("uploads"), uploads, (each) => each.n, ({ at, jobId, audienceId, records }) => {
    const audience = audienceName(names, audienceId), job = make("td", "", "path"), name = make("td", audience, "name");
    job.append(openButton(jobId, () => openFacts(`Upload ${jobId}`, { time: moment(at), audience, "audience id": audienceId, records })));
    name.title = audienceId ?? "";
    return row(make("td", clock(at), "soft"), job, name, make("td", records == null ? "" : number(records), "number"));
  });
}

function showLog(lines) {
  list($("log"), lines, (each) => each.n, (each) => {
    const entry = make("li");
    const facts = Object.entries(each.more).filter(([name]) => name !== "request_id").map(([name, value]) => `${name}=${value}`);
    const show = () => openFacts(each.text, { time: moment(each.at), function: each.function, level: each.level.toLowerCase(), ...each.more });
    entry.append(make("time", clock(each.at)), make("span", each.function, "from"));
    if (each.level && each.level !== "INFO") entry.append(make("span", each.level.toLowerCase(), each.level === "ERROR" ? "level alarm" : "level"));
    entry.append(openButton([each.text, ...facts].join(" "), show));
    return entry;
  });
}

const direction = (each) => [[each.changes - each.exits, "enters"], [each.exits, "leaves"]]
  .filter(([count]) => count > 0).map(([count, word]) => each.changes === 1 ? word : `${number(count)} ${word.replace(/s$/, "")}`).join(", ");

// The reasons of those that were read, the most frequent one first.
function byReason(listed) {
  const counts = new Map();
  for (const { reason } of listed) counts.set(reason, (counts.get(reason) ?? 0) + 1);
  const sorted = [...counts].sort(([, one], [, other]) => other - one).map(([reason, count]) => `${number(count)} ${words(reason)}`);
  return sorted.length > 1 ? `: ${sorted.join(", ")}` : sorted.length ? `, for ${words(listed[0].reason)}` : "";
}

function showDeadLetters(facts, names) {
  const { parked, deadLetters } = facts;
  $("dead-letters").hidden = !deadLetters && !parked.listed.length;
  setText($("dead-letters-what"), `${counted(deadLetters, "dead letter waits", "dead letters wait")}${byReason(parked.listed)}.`);
  const isShort = parked.listed.length < deadLetters;
  setText($("dead-letters-read"), parked.readAt == null ? "" : `${isShort ? `${number(parked.listed.length)} of them, read` : "Read"} at ${clock(parked.readAt)}.`);
  list($("dead"), parked.listed, (each) => each.messageId, (each) => {
    const reason = make("td");
    reason.append(openButton(words(each.reason), () => openFacts(`Dead letter: ${words(each.reason)}`, {
      ...explained("parked", each.reason), "what to do": each.remedy.replaceAll("`", ""), detail: each.detail, parked: moment(each.at), "Amazon's status": each.status, "Amazon's request": each.requestId, tries: each.attempts,
      audience: audienceName(names, each.audienceId), "audience id": each.audienceId, changes: direction(each), members: each.members.join(", "), "message id": each.messageId,
      "in a terminal": `audience-sync parked show ${each.messageId.slice(0, 8)}`,
    })), make("small", each.detail));
    const member = make("td");
    member.append(make("code", each.members.length === 1 ? each.members[0] : each.members.length ? `${number(each.changes)} members` : ""));
    return row(reason, make("td", direction(each)), member, make("td", audienceName(names, each.audienceId)), make("td", each.attempts == null ? "" : number(each.attempts), "number"), make("td", moment(each.at), "soft"));
  });
}

const STATES = { ALARM: "on", INSUFFICIENT_DATA: "without data" };
function showAlarms(alarms) {
  if (!alarms) return;
  const loud = alarms.filter((each) => each.state === "ALARM");
  list($("alarm-list"), loud, (each) => `${each.name} ${each.since}`, (each) => {
    const entry = make("li");
    const show = () => openFacts(each.name, { state: STATES[each.state], since: moment(each.since), description: each.description, "what to do": `docs/runbook.md, ${each.name}` });
    entry.append(openButton(each.name, show), make("span", `on since ${moment(each.since)}`, "soft"), make("small", each.description));
    return entry;
  });
  const quiet = alarms.length - loud.length;
  setText($("alarms-fine"), loud.length ? `${counted(quiet, "other alarm is", "other alarms are")} quiet.` : alarms.length ? `All ${number(alarms.length)} alarms are quiet.` : "The stack has no alarms.");
}

function showProblems({ problems, unread }) {
  const lines = problems.map((each) => `${each.part}: ${each.message} ${each.remedy}`);
  if (unread.length) lines.push(`Still reading: ${unread.join(", ")}.`);
  list($("problems"), lines, (line) => line, (line) => make("li", line));
}
