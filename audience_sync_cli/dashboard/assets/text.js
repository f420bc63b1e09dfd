"use strict";
// Texts and elements. What comes from outside becomes text, never markup.
const $ = (id) => document.getElementById(id);
const grouped = new Intl.NumberFormat("en");
const number = (value) => grouped.format(value ?? 0);
const counted = (value, one, many) => `${number(value)} ${value === 1 ? one : many}`;
const percent = (value) => value == null ? "" : `${value.toFixed(1)}%`;
const words = (code) => String(code).replaceAll("_", " ");
const sumOf = (values) => values.reduce((total, value) => total + value, 0);
const at = (path, value) => path.split(".").reduce((inner, name) => inner?.[name], value) ?? 0;

const DAY = 86400; // seconds
const clock = (seconds) => seconds == null ? "" : new Date(seconds * 1000).toLocaleTimeString("en-GB");
// The date as well, where it is not today's.
function moment(seconds) {
  if (seconds == null) return "";
  const then = new Date(seconds * 1000);
  const isToday = then.toDateString() === new Date().toDateString();
  return isToday ? clock(seconds) : `${then.toLocaleDateString("en-CA")} ${clock(seconds)}`;
}
function duration(seconds) {
  const [size, unit] = [[DAY, "day"], [3600, "hour"], [60, "minute"], [1, "second"]].find(([size]) => seconds >= (size === DAY ? 2 * DAY : size)) ?? [1, "second"];
  const count = Math.round(seconds / size);
  return counted(count, unit, `${unit}s`);
}

// The time over which what went wrong was counted.
const spanOf = ({ activity }) => ` in ${duration(activity.period * activity.arrived.length)}`;

// Only what has changed is written: no flicker, and a selection stays selected.
function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function make(tag, text = "", className = "") {
  const element = document.createElement(tag);
  element.textContent = text;
  if (className) element.className = className;
  return element;
}

function openButton(text, show, label = "") {
  const button = make("button", text, "open");
  button.type = "button";
  button.title = text;
  if (label) button.ariaLabel = label;
  button.addEventListener("click", show);
  return button;
}

function row(...cells) {
  const line = make("tr");
  line.append(...cells);
  return line;
}

// Keeps the elements of entries that stay, so that focus and scroll position do, too.
function list(parent, entries, keyOf, build, update = () => {}) {
  const old = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  let next = parent.firstElementChild;
  for (const entry of entries) {
    const key = keyOf(entry);
    const child = old.get(key) ?? build(entry);
    child.dataset.key = key;
    old.delete(key);
    update(child, entry);
    if (child === next) next = next.nextElementSibling;
    else parent.insertBefore(child, next);
  }
  for (const child of old.values()) child.remove();
}
