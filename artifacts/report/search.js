"use strict";
for (const box of document.querySelectorAll("input[data-filter]")) {
  const entries = [...document.getElementById(box.dataset.filter).querySelectorAll("[data-words]")];
  const label = box.closest("label"), found = label.querySelector("output");
  label.hidden = false;
  box.addEventListener("input", () => {
    const words = box.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const entry of entries) {
      entry.hidden = !words.every((word) => entry.dataset.words.includes(word));
      shown += !entry.hidden;
    }
    found.textContent = words.length ? `${shown} of ${entries.length}` : "";
  });
}
addEventListener("hashchange", unfold);
function unfold() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target instanceof HTMLDetailsElement) { target.hidden = false; target.open = true; target.scrollIntoView(); }
}
unfold();
