// Bring the moving part of the page up to date until the run is over. Without scripts the page reloads itself.
"use strict";

const part = document.getElementById("progress");

async function renew() {
  try {
    const answer = await fetch(part.dataset.at, { cache: "no-store" });
    if (answer.ok) take(new DOMParser().parseFromString(await answer.text(), "text/html"));
  } catch {
    // Asked again in a moment.
  }
  if (part.querySelector("[data-state]").dataset.state === "running") setTimeout(renew, 500);
}

// Only what changed is touched, so that a screen reader repeats nothing.
function take(fresh) {
  const [now, then] = [part.querySelector("[role=status]"), fresh.querySelector("[role=status]")];
  if (now.textContent === then.textContent && now.dataset.state === then.dataset.state) return;
  now.textContent = then.textContent;
  now.dataset.state = then.dataset.state;
  for (const each of ["h2", ".bar", ".counts"]) part.querySelector(each).replaceWith(fresh.querySelector(each));
}

renew();
