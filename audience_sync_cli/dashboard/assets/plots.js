"use strict";
// Plots, as paths in a picture that is stretched to the width of its column.
const SVG = "http:/" + "/www.w3.org/2000/svg";
const PLOT = { width: 240, height: 34 };

function barPath(values, most) {
  const width = PLOT.width / Math.max(1, values.length);
  const bars = values.map((value, index) => {
    if (!value) return "";
    const height = Math.max(1.5, PLOT.height * value / most);
    return `M${(index * width).toFixed(2)} ${PLOT.height}v${-height.toFixed(2)}h${(width * .8).toFixed(2)}v${height.toFixed(2)}z`;
  });
  return bars.join("") || `M0 ${PLOT.height}`;
}

// A number stays what it is until the next one is known, so the line goes in steps.
function linePath(points, from, until, most) {
  if (!points.length) return "";
  const x = (seconds) => (PLOT.width * Math.max(0, seconds - from) / Math.max(1, until - from)).toFixed(1);
  const y = (value) => (PLOT.height - 2 - (PLOT.height - 4) * value / Math.max(1, most)).toFixed(1);
  const steps = points.slice(1).map(([seconds, value]) => `H${x(seconds)}V${y(value)}`);
  return `M${x(points[0][0])} ${y(points[0][1])}${steps.join("")}H${x(until)}`;
}

function lineCell() {
  const cell = make("td", "", "plot"), picture = document.createElementNS(SVG, "svg");
  picture.setAttribute("viewBox", `0 0 ${PLOT.width} ${PLOT.height}`);
  picture.setAttribute("preserveAspectRatio", "none");
  picture.setAttribute("role", "img");
  picture.append(document.createElementNS(SVG, "path"));
  cell.append(picture, make("small"));
  return cell;
}

function drawLine(cell, points, until, most, format) {
  const [picture, caption] = cell.children;
  const values = points.map(([, value]) => value);
  const from = points[0]?.[0] ?? until;
  picture.firstChild.setAttribute("d", linePath(points, from, until, most));
  const isLevel = values.length && values.every((value) => value === values[0]);
  const [first, last] = [values[0], values.at(-1)], time = duration(Math.max(1, until - from));
  const span = !points.length ? "no numbers yet" : isLevel ? `unchanged for ${time}` : first === last ? `between ${format(Math.min(...values))} and ${format(Math.max(...values))} in ${time}` : `${format(first)} \u2192 ${format(last)} in ${time}`;
  picture.setAttribute("aria-label", span.replace("\u2192", "to"));
  picture.classList.toggle("blank", !points.length);
  setText(caption, span);
}

function showActivity({ period, arrived, completed }) {
  const most = Math.max(1, ...arrived, ...completed); // one scale for both
  for (const [name, values] of Object.entries({ arrived, completed })) {
    $(`spark-${name}`).setAttribute("d", barPath(values, most));
    const highest = Math.max(0, ...values);
    const span = `${number(sumOf(values))} in ${duration(period * values.length)}`;
    setText($(`caption-${name}`), highest ? `${span}, at most ${number(highest)} in ${duration(period)}` : span);
  }
}
