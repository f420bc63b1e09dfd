"use strict";
// The faults that have a name: one button each, and what the one in force does. Of the local page only.
function showFaults(recipes) {
  const now = recipes.find((each) => each.active);
  list($("fault-buttons"), [{ name: "off", does: "Amazon answers as usual", active: !now }, ...recipes], (each) => each.name, ({ name, does }) => {
    const button = make("button", name);
    button.type = "button";
    button.title = does;
    button.addEventListener("click", async () => showFaults((await act("faults", { recipe: name })).faults));
    return button;
  }, (button, each) => button.setAttribute("aria-pressed", String(each.active)));
  const { does, reason, runbook } = now ?? {};
  setText($("fault-now"), now ? `${does}.${reason ? ` Reason: ${reason}.` : ""} In the runbook: ${runbook}.` : "None of them is set.");
}
document.addEventListener("facts", ({ detail }) => showFaults(detail.faults));
