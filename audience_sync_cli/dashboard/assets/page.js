"use strict";
const INTERVAL = 1000; // milliseconds
const CERTAIN_AFTER = 3; // polls in a row with a difference: then it is not a matter of timing
const $ = (id) => document.getElementById(id);
const grouped = new Intl.NumberFormat("en");
const number = (value) => grouped.format(value ?? 0);
const counted = (value, one, many) => `${number(value)} ${value === 1 ? one : many}`;
const clock = (at) => at == null ? "" : new Date(typeof at === "number" ? at * 1000 : at).toLocaleTimeString("en-GB");
const words = (code) => code.replaceAll("_", " ");
const sumOf = (values) => values.reduce((total, value) => total + value, 0);

// Only what has changed is written: no flicker, and a selection stays selected. Text only, never markup.
function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function make(tag, text = "", className = "") {
  const element = document.createElement(tag);
  element.textContent = text;
  if (className) element.className = className;
  return element;
}

function list(parent, entries, keyOf, build) {
  const old = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  let next = parent.firstElementChild;
  for (const entry of entries) {
    const key = keyOf(entry);
    const child = old.get(key) ?? build(entry);
    child.dataset.key = key;
    old.delete(key);
    if (child === next) next = next.nextElementSibling;
    else parent.insertBefore(child, next);
  }
  for (const child of old.values()) child.remove();
}

function row(...cells) {
  const line = make("tr");
  line.append(...cells);
  return line;
}

function showNumbers(view) {
  for (const element of document.querySelectorAll("[data-n]")) {
    const value = element.dataset.n.split(".").reduce((inner, name) => inner?.[name], view) ?? 0;
    setText(element, number(value));
    if ("alarm" in element.dataset) element.classList.toggle("alarm", value > 0);
  }
  const commonest = view.rejections.slice(0, 3).map(({ reason, times }) => `${number(times)} ${words(reason)}`);
  list($("rejections"), commonest, (text) => text, (text) => make("li", text));
}

function showHistory(history) {
  const most = Math.max(1, ...history.arrived, ...history.settled); // one scale for both
  for (const [name, values] of Object.entries(history)) {
    const width = 240 / values.length;
    const bars = values.map((value, index) => {
      if (!value) return "";
      const height = Math.max(1.5, 34 * value / most);
      return `M${index * width} 34v${-height}h${width * .8}v${height}z`;
    });
    $(`spark-${name}`).setAttribute("d", bars.join("") || "M0 34");
    setText($(`peak-${name}`), `2 minutes, peak ${number(Math.max(...values))} a second`);
  }
}

function showSteps(view) {
  const { state, amazon, history } = view;
  $("segment").classList.toggle("busy", sumOf(history.arrived.slice(-3)) > 0);
  $("ingest").classList.toggle("busy", sumOf(history.arrived.slice(-3)) > 0);
  $("queue").classList.toggle("busy", state.queued + state.inFlight > 0);
  $("queue").classList.toggle("full", state.deadLetters > 0);
  $("worker").classList.toggle("busy", state.inFlight > 0);
  $("amazon").classList.toggle("busy", amazon.pendingJobs > 0);
  const shown = amazon.audiences.slice(0, 3);
  list($("audiences"), shown, (each) => each.id, (each) => {
    const entry = make("li");
    entry.append(make("b", each.name), make("br"), make("span", each.id, "id soft"), make("br"), make("span"));
    return entry;
  });
  shown.forEach((each, index) => setText(
    $("audiences").children[index].lastElementChild,
    `${counted(each.size, "member", "members")}, ${number(each.matched)} matched`,
  ));
  const more = amazon.audiences.length - shown.length;
  setText($("more"), more > 0 ? `and ${counted(more, "more audience", "more audiences")}` : "");
  setText($("jobs"), amazon.pendingJobs ? `, ${counted(amazon.pendingJobs, "job pending", "jobs pending")}` : "");
}

let unbalanced = 0;
function showSum(state) {
  unbalanced = state.quiescent && state.waiting !== 0 || state.waiting < 0 ? unbalanced + 1 : 0;
  const off = unbalanced >= CERTAIN_AFTER ? state.waiting : 0;
  const waiting = off ? 0 : Math.max(0, state.waiting);
  const parts = { delivered: state.delivered, superseded: state.superseded, parked: state.parked, waiting, unaccounted: Math.max(0, off) };
  for (const [name, value] of Object.entries(parts)) {
    const segment = $("bar").querySelector(`.${name}`);
    segment.style.flexGrow = value;
    segment.classList.toggle("some", value > 0);
  }
  const balance = off > 0 ? `${number(off)} in none of them` : off < 0 ? `${number(-off)} counted twice` : "adds up";
  setText($("balance"), state.accepted ? balance : "");
  $("balance").classList.toggle("alarm", off !== 0);
  return { off, waiting };
}

// The heading is announced to screen readers, so it names the situation and holds no number that runs.
function headlineFor({ state, amazon, counts }, off) {
  const uploads = amazon.requests.filter((each) => each.method === "POST" && each.path === "/amc/audiences/records");
  const refused = uploads.length > 0 && uploads[0].status >= 400;
  if (off) return ["stuck", "The counts do not add up."];
  if (!state.quiescent && state.waiting > 0 && refused) return ["refused", "Amazon refuses uploads. The changes are retried."];
  if (!state.quiescent && state.waiting > 0) return ["moving", "Changes are on their way."];
  if (state.deadLetters) return ["stuck", "There are dead letters."];
  if (!state.quiescent && state.accepted) return ["moving", "Amazon is working through the uploads."];
  if (state.accepted) return ["still", "Everything has arrived."];
  if (counts.RequestsUnauthorized) return ["still", "Requests arrive with a wrong key."];
  if (counts.RequestsWithoutCredential) return ["still", "Requests arrive without a key."];
  return state.ignored + state.rejected ? ["still", "Nothing to deliver so far."] : ["still", "Waiting for the first event."];
}

function summaryOf(view, waiting) {
  const { state, amazon, rejections } = view;
  if (!view.arrived) return "Send one with the line below, or run the demonstration.";
  const sentences = [
    waiting ? `${counted(waiting, "change waits", "changes wait")} or ${waiting === 1 ? "is" : "are"} in work` : "Nothing waits",
    `Amazon holds ${counted(view.members, "member", "members")} in ${counted(amazon.audiences.length, "audience", "audiences")}`,
  ];
  if (state.deadLetters) sentences.push(`${counted(state.deadLetters, "dead letter waits", "dead letters wait")} to be redriven`);
  else if (state.rejected) sentences.push(`events rejected, most of them for ${words(rejections[0]?.reason ?? "another reason")}: ${number(state.rejected)}`);
  return `${sentences.join("; ")}.`;
}

function showRequests(requests, names) {
  list($("requests"), requests, (each) => `${each.n} ${each.status} ${each.at}`, (each) => {
    const request = make("td");
    const jobless = each.path.replace(/\/[0-9a-f]{8}-[0-9a-f-]{27}$/, "/…"); // a job's id would fill the row
    request.append(make("code", `${each.method} ${jobless}`));
    if (each.faults.length) request.append(make("small", `fault rule: ${each.faults.map(words).join(", ")}`));
    const status = make("td", "", "number");
    status.append(make("span", String(each.status ?? "none"), each.status < 400 && each.status ? "" : "alarm"));
    return row(
      make("td", clock(each.at), "soft"), request, make("td", names.get(each.audienceId) ?? each.audienceId ?? ""),
      make("td", each.records == null ? "" : number(each.records), "number"), status,
    );
  });
}

function showLog(lines) {
  list($("log"), lines, (each) => `${each.n} ${each.at} ${each.text}`, (each) => {
    const entry = make("li");
    entry.append(make("time", clock(each.at)), make("span", each.function, "from"));
    if (each.level && each.level !== "INFO") entry.append(make("span", each.level.toLowerCase(), each.level === "ERROR" ? "level alarm" : "level"));
    entry.append(make("span", each.text));
    return entry;
  });
}

function showDeadLetters(deadLetters, names) {
  list($("dead"), deadLetters, (each) => JSON.stringify(each), (each) => {
    const reason = make("td");
    reason.append(make("span", words(String(each.reason))), make("small", each.detail ?? ""));
    const action = { CREATE: "enters", DELETE: "leaves" }[each.action] ?? each.action ?? "";
    const member = make("td");
    member.append(make("code", each.externalUserId ?? ""));
    return row(reason, make("td", action), member, make("td", names.get(each.audienceId) ?? each.audienceId ?? ""), make("td", number(each.attempts), "number"));
  });
}

function show(view) {
  view.arrived = view.state.ignored + view.state.rejected + (view.counts.EventsAccepted ?? 0);
  view.members = sumOf(view.amazon.audiences.map((each) => each.size));
  const names = new Map(view.amazon.audiences.map((each) => [each.id, each.name]));
  const { off, waiting } = showSum(view.state);
  view.waiting = waiting;
  showNumbers(view);
  showHistory(view.history);
  showSteps(view);
  showRequests(view.amazon.requests, names);
  showLog(view.log);
  showDeadLetters(view.deadLetters, names);
  showCommand(view);
  const [flow, headline] = headlineFor(view, off);
  document.body.dataset.flow = flow;
  setText($("headline"), headline);
  setText($("summary"), summaryOf(view, waiting));
  setText($("live"), `live, ${view.api.replace("http:/" + "/", "")}`);
}

// The key is asked for when it is shown or copied; until then it is nowhere in the page.
const HIDDEN = "\u2022".repeat(12);
let key = null, api = "";
const command = (secret) => `curl -s ${api}/v1/events -d @${$("example").value} \\\n  -H 'Content-Type: application/json' -H 'Authorization: Bearer ${secret}'`;

function showCommand(view) {
  api = view.api;
  if (!$("example").options.length) {
    $("example").append(...view.examples.map(({ file, note }) => {
      const option = make("option", `${file.split("/").pop().replace(".json", "")}: ${note}`);
      option.value = file;
      return option;
    }));
  }
  setText($("command"), command($("reveal").getAttribute("aria-pressed") === "true" ? key : HIDDEN));
}

async function eventKey() {
  const answer = await fetch("?reveal=eventKey");
  return (await answer.json()).eventKey;
}

$("example").addEventListener("change", () => showCommand({ api }));
$("reveal").addEventListener("click", async () => {
  const pressed = $("reveal").getAttribute("aria-pressed") === "true";
  key = pressed ? null : await eventKey();
  $("reveal").setAttribute("aria-pressed", String(!pressed));
  setText($("reveal"), pressed ? "Show key" : "Hide key");
  showCommand({ api });
});
$("copy").addEventListener("click", async () => {
  await navigator.clipboard.writeText(command(await eventKey()));
  setText($("copy"), "Copied");
  setTimeout(() => setText($("copy"), "Copy"), 1500);
});

async function poll() {
  try {
    const answer = await fetch("", { headers: { Accept: "application/json" }, signal: AbortSignal.timeout(5000) });
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    show(await answer.json());
  } catch (error) {
    console.error(error);
    document.body.dataset.flow = "offline";
    setText($("headline"), "The local stack does not answer.");
    setText($("summary"), "These are its last numbers. The page keeps trying.");
    setText($("live"), "not connected");
  }
  setTimeout(poll, INTERVAL);
}
poll();
