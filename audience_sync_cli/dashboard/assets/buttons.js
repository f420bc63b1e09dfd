"use strict";
// What the page asks and does. Every request goes to where the page came from.
const BASE = location.pathname.replace(/\/$/, "");
const HIDDEN = "\u2022".repeat(12);
let newest = null, key = null;

async function ask(query = "") {
  const answer = await fetch(BASE + query, { headers: { Accept: "application/json" }, signal: AbortSignal.timeout(60000) });
  return answer.json();
}

async function act(name, body = {}) {
  const answer = await fetch(`${BASE}/${name}`, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
  return answer.json();
}

// A button works once at a time, and says what it is doing.
function onPress(id, busy, work) {
  const button = $(id);
  button.addEventListener("click", async () => {
    if (button.ariaDisabled === "true") return;
    const label = button.textContent;
    button.ariaDisabled = "true";
    setText(button, busy);
    setText($("answer"), "");
    try {
      await work();
    } catch (error) {
      console.error(error);
      setText($("answer"), "No answer came. Is the program that serves this page still running?");
    } finally {
      button.ariaDisabled = "false";
      setText(button, label);
    }
  });
}

const command = (secret) => `curl -s ${newest?.place.api}/v1/events -d @${$("example").value} \\\n  -H 'Content-Type: application/json' -H 'Authorization: Bearer ${secret}'`;

function showCommand(facts) {
  if (!facts.examples) return;
  if (!$("example").options.length) {
    $("example").append(...facts.examples.map(({ file, note }) => {
      const option = make("option", `${file.split("/").pop().replace(".json", "")}: ${note}`);
      option.value = file;
      return option;
    }));
  }
  const { enter, exit } = facts.samples;
  setText($("samples-what"), `${number(enter)} enter the audience, ${number(exit)} of them leave it again.`);
  setText($("command"), command(key ?? HIDDEN));
}

function showAnswer({ status, answer }) {
  const lines = [status ? `${status} ${JSON.stringify(answer)}` : answer.error];
  for (const { reason, detail } of answer.rejections ?? []) lines.push(`${words(reason)}: ${detail}`);
  setText($("answer"), lines.join("\n"));
}

$("example").addEventListener("change", () => { setText($("command"), command(key ?? HIDDEN)); setText($("answer"), ""); });
onPress("send", "Sending", async () => showAnswer(await act("send", { file: $("example").value })));
onPress("samples", "Sending", async () => showAnswer(await act("samples")));

// The key is asked for when it is shown or copied; until then it is nowhere in the page.
const eventKey = async () => (await ask("?reveal=eventKey")).eventKey;
$("reveal").addEventListener("click", async () => {
  const pressed = $("reveal").getAttribute("aria-pressed") === "true";
  key = pressed ? null : await eventKey();
  $("reveal").setAttribute("aria-pressed", String(!pressed));
  setText($("reveal"), pressed ? "Show key" : "Hide key");
  setText($("command"), command(key ?? HIDDEN));
});
$("copy").addEventListener("click", async () => {
  await navigator.clipboard.writeText(command(await eventKey()));
  setText($("copy"), "Copied");
  setTimeout(() => setText($("copy"), "Copy"), 1500);
});

// What is looked for is sent in a body, since addresses are logged, and forgotten once it is answered.
$("find").addEventListener("submit", (event) => event.preventDefault());
onPress("look", "Finding", async () => {
  const id = $("wanted").value.trim();
  if (!id) return $("wanted").focus();
  const { found = [], error } = await act("find", { id });
  openFacts(found.length ? `Found ${counted(found.length, "entry", "entries")}` : "Search by id", {});
  $("opened-facts").replaceChildren(...found.flatMap(({ title, facts }) => [make("h3", title), ...factLines(facts)]), ...(error ? [make("p", error)] : []));
  $("wanted").value = "";
});

// Redriving asks first. What it asks is counted from the dead letters that the page has read.
function chosenDeadLetters() {
  const reason = $("asking-reason").value;
  return newest.parked.listed.filter((each) => !reason || each.reason === reason);
}

function showQuestion() {
  const chosen = chosenDeadLetters();
  const isAll = newest.parked.listed.length >= newest.deadLetters;
  const count = isAll ? counted(chosen.length, "dead letter", "dead letters") : $("asking-reason").value ? "all dead letters of this reason" : counted(newest.deadLetters, "dead letter", "dead letters");
  setText($("asking-title"), `Redrive ${count}?`);
  const exits = sumOf(chosen.map((each) => each.exits)), unreadable = chosen.filter((each) => !each.isReadable).length;
  const sentences = ["Each is sent to the change queue and deleted here. A change that a newer one has superseded does not reach Amazon. If the cause is not fixed, they are parked again."];
  if (exits) sentences.push(`${isAll ? "" : "At least "}${counted(exits, "of the changes is an exit", "of the changes are exits")}: once delivered, those members leave their audience.`);
  if (unreadable) sentences.push(`${counted(unreadable, "is unreadable and stays", "are unreadable and stay")}.`);
  setText($("asking-what"), sentences.join(" "));
}

$("redrive").addEventListener("click", () => {
  $("asking-reason").replaceChildren(...["", ...[...new Set(newest.parked.listed.map((each) => each.reason))].sort()].map((reason) => {
    const option = make("option", reason ? words(reason) : "any");
    option.value = reason;
    return option;
  }));
  showQuestion();
  $("asking").showModal();
  $("asking-no").focus();
});
$("asking-reason").addEventListener("change", showQuestion);
$("asking-no").addEventListener("click", () => $("asking").close());
$("opened-close").addEventListener("click", () => $("opened").close());
onPress("asking-yes", "Redriving", async () => {
  const { sentences = [], error } = await act("redrive", { reason: $("asking-reason").value });
  $("asking").close();
  openFacts("Redrive", {});
  $("opened-facts").replaceChildren(...[...sentences, ...(error ? [error] : [])].map((each) => make("p", each)));
  await poll();
});

$("pause").addEventListener("click", () => {
  setText($("pausing-error"), "");
  $("pausing").showModal();
  $("pausing-note").focus();
});
$("pausing-no").addEventListener("click", () => $("pausing").close());
onPress("pausing-yes", "Pausing", async () => {
  const { error } = await act("pause", { note: $("pausing-note").value });
  setText($("pausing-error"), error ?? "");
  if (error) return;
  $("pausing").close();
  $("pausing-note").value = "";
  await poll();
});
onPress("resume", "Resuming", async () => {
  const { error } = await act("resume");
  if (error) openFacts("Delivery is still paused", { why: error.replaceAll("`", "") });
  await poll();
});
