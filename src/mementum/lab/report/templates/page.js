"use strict";

const all = (selector) => [...document.querySelectorAll(selector)];

// Each press hides a contender in every figure, or shows it again.
const hidden = new Set();
const hiding = document.head.appendChild(document.createElement("style"));
for (const button of all("[data-hides]")) {
  button.addEventListener("click", () => {
    const name = button.dataset.hides;
    if (!hidden.delete(name)) hidden.add(name);
    for (const other of all("[data-hides]")) {
      other.ariaPressed = String(!hidden.has(other.dataset.hides));
    }
    hiding.textContent = [...hidden]
      .map((each) => `figure [data-contender="${CSS.escape(each)}"] { display: none; }`)
      .join("\n");
  });
}

// Ways of tuning share their place: one table of verdicts is shown at a time.
const arms = all("[data-arm]");
function showArm(name) {
  for (const button of arms) button.ariaPressed = String(button.dataset.arm === name);
  for (const arm of all(".arm")) arm.hidden = arm.id !== `arm-${name}`;
}
for (const button of arms) {
  button.addEventListener("click", () => showArm(button.dataset.arm));
}
if (arms.length) showArm("lr");

// What a link leads to is unfolded, and shown where the filter hides it.
const filter = document.getElementById("filter");
function unfold() {
  const place = location.hash && document.getElementById(location.hash.slice(1));
  if (!place) return;
  if (filter && place.hidden) {
    filter.value = "";
    filter.dispatchEvent(new Event("input"));
  }
  const folded = place.closest("details") ?? place.querySelector(":scope > details");
  if (folded) folded.open = true;
  place.scrollIntoView();
}
addEventListener("hashchange", unfold);
for (const link of all('a[href^="#"]')) {
  link.addEventListener("click", () => setTimeout(unfold));
}
unfold();

filter?.addEventListener("input", (event) => {
  const wanted = event.target.value.trim().toLowerCase();
  for (const each of all("[data-task]")) {
    each.hidden = !each.dataset.task.toLowerCase().includes(wanted);
  }
});

document.getElementById("unfold")?.addEventListener("click", (event) => {
  const open = all("details.task:not([open])").length > 0;
  for (const each of all("details.task")) each.open = open;
  event.target.textContent = open ? "Fold all" : "Unfold all";
});

// Escape takes a card away until the cell is left; the focus stays where it is.
addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  for (const each of all("td:is(:hover, :focus-within)")) each.classList.add("quiet");
});
for (const leaving of ["focusout", "mouseout"]) {
  addEventListener(leaving, (event) => {
    const cell = event.target.closest?.("td");
    if (cell && !cell.contains(event.relatedTarget)) cell.classList.remove("quiet");
  });
}

// Numbers sort by their value and texts by their letters; what is missing comes last.
function keyOf(cell) {
  const text = cell.dataset.value ?? cell.textContent.trim();
  if (text === "") return null;
  return Number.isNaN(Number(text)) ? text : Number(text);
}

function order(one, other) {
  if (one === null || other === null) return (one === null) - (other === null);
  if (typeof one === "number" && typeof other === "number") return one - other;
  return String(one).localeCompare(String(other), "en", { numeric: true });
}

function sort(table, header, column) {
  const down = header.ariaSort === "ascending";
  for (const each of table.tHead.rows[0].cells) each.removeAttribute("aria-sort");
  header.ariaSort = down ? "descending" : "ascending";
  const rows = [...table.tBodies[0].rows].map((row) => [keyOf(row.cells[column]), row]);
  rows.sort(([one], [other]) => {
    const missing = one === null || other === null;
    return down && !missing ? order(other, one) : order(one, other);
  });
  table.tBodies[0].append(...rows.map(([, row]) => row));
}

for (const table of all("table.sortable")) {
  [...table.tHead.rows[0].cells].forEach((header, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "sort";
    button.append(...header.childNodes);
    header.append(button);
    button.addEventListener("click", () => sort(table, header, column));
  });
}

const copy = document.getElementById("copy");
copy?.addEventListener("click", async () => {
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
