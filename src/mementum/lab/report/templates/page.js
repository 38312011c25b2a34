"use strict";

const figures = JSON.parse(document.getElementById("figures").textContent);
const config = { displayModeBar: false, responsive: true };
const plots = [];
const hidden = new Set();

for (const figure of figures) {
  const place = document.getElementById(figure.name);
  Plotly.newPlot(place, figure.data, figure.layout, config).then(() => {
    place.dataset.drawn = "yes";
  });
  plots.push(place);
}

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
  for (const place of plots) {
    Plotly.relayout(place, { width: 320, autosize: false });
  }
});
addEventListener("afterprint", () => {
  for (const place of plots) Plotly.relayout(place, { width: null, autosize: true });
});
