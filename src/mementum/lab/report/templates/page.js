"use strict";

const figures = JSON.parse(document.getElementById("figures").textContent);
const config = { displayModeBar: false, responsive: true };
const plots = [];
const hidden = new Set();

// The page answers at once: figures draw one after the other while it is idle.
const idle = window.requestIdleCallback || ((draw) => setTimeout(draw, 1));

function drawNext(waiting) {
  const figure = waiting.shift();
  if (!figure) return;
  draw(figure);
  idle(() => drawNext(waiting));
}

function draw(figure) {
  const place = document.getElementById(figure.name);
  if (place.dataset.drawn) return;
  for (const trace of figure.data) {
    if (hidden.has(trace.meta)) trace.visible = false;
  }
  place.dataset.drawn = "begun";
  Plotly.newPlot(place, figure.data, figure.layout, config).then(() => {
    place.dataset.drawn = "yes";
    // Plotly measures texts in a picture that is for no reader.
    document.getElementById("js-plotly-tester")?.setAttribute("aria-hidden", "true");
  });
  plots.push(place);
}

drawNext([...figures]);

// One legend serves all figures: a press hides a contender in each of them.
function toggle(button) {
  const name = button.dataset.contender;
  const shown = button.getAttribute("aria-pressed") === "true";
  if (shown) hidden.add(name);
  else hidden.delete(name);
  for (const other of document.querySelectorAll(".legend button")) {
    if (other.dataset.contender === name) {
      other.setAttribute("aria-pressed", String(!shown));
    }
  }
  for (const place of plots) {
    const owned = place.data.map((_, i) => i).filter((i) => place.data[i].meta === name);
    if (owned.length) Plotly.restyle(place, { visible: !hidden.has(name) }, owned);
  }
}

for (const button of document.querySelectorAll(".legend button")) {
  button.addEventListener("click", () => toggle(button));
}

for (const button of document.querySelectorAll("button[data-save]")) {
  button.addEventListener("click", () => {
    const name = button.dataset.save;
    const place = document.getElementById(name);
    const size = { width: place.clientWidth, height: place.clientHeight };
    Plotly.downloadImage(place, { format: "svg", filename: name, ...size });
  });
}

// Ways of tuning share their place: one table of verdicts is shown at a time.
const arms = [...document.querySelectorAll(".choices button")];
function showArm(name) {
  for (const button of arms) {
    button.setAttribute("aria-pressed", String(button.dataset.arm === name));
  }
  for (const table of document.querySelectorAll(".arm")) {
    table.hidden = arms.length > 0 && table.id !== `arm-${name}`;
  }
}
for (const button of arms) {
  button.addEventListener("click", () => showArm(button.dataset.arm));
}
if (arms.length) showArm("lr");

// Numbers sort by their value and texts by their letters; what is missing comes last.
function keyOf(cell) {
  const text = cell.dataset.value ?? cell.textContent.trim();
  const number = Number(text);
  return ["", "-", "\u2212", "\u2013"].includes(text) ? null : Number.isNaN(number) ? text : number;
}

function order(one, other) {
  if (one === null || other === null) return (one === null) - (other === null);
  if (typeof one === "number" && typeof other === "number") return one - other;
  return String(one).localeCompare(String(other), "en", { numeric: true });
}

function sort(table, header, column) {
  const down = header.getAttribute("aria-sort") === "ascending";
  for (const each of table.tHead.rows[0].cells) each.removeAttribute("aria-sort");
  header.setAttribute("aria-sort", down ? "descending" : "ascending");
  const rows = [...table.tBodies[0].rows].map((row) => [keyOf(row.cells[column]), row]);
  rows.sort(([one], [other]) => {
    const missing = one === null || other === null;
    return down && !missing ? order(other, one) : order(one, other);
  });
  table.tBodies[0].append(...rows.map(([, row]) => row));
}

for (const table of document.querySelectorAll("table.sortable")) {
  [...table.tHead.rows[0].cells].forEach((header, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "sort";
    // What stands below a heading stays outside of its button.
    button.append(header.firstChild);
    header.prepend(button);
    button.addEventListener("click", () => sort(table, header, column));
  });
}

const copy = document.getElementById("copy");
copy.addEventListener("click", async () => {
  const text = document.getElementById("methods-text");
  try {
    await navigator.clipboard.writeText(text.innerText);
    copy.textContent = "Copied";
  } catch {
    // Without a clipboard the text is selected, so that the usual keys copy it.
    getSelection().selectAllChildren(text);
    copy.textContent = "Selected: copy it with the keyboard";
  }
});

// Figures keep the width of the screen unless they are told the width of the paper.
addEventListener("beforeprint", () => {
  for (const figure of figures) draw(figure);
  for (const place of plots) {
    Plotly.relayout(place, { width: 320, autosize: false });
  }
});
addEventListener("afterprint", () => {
  for (const place of plots) Plotly.relayout(place, { width: null, autosize: true });
});
