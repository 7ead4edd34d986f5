// Leave a page as soon as the session behind it is no longer good for it: signed out, asked to set up a second factor, or let in again.
"use strict";

const EVERY = 700; // milliseconds
const seen = document.body.dataset.presence;
let next;

async function look() {
  clearTimeout(next);
  try {
    const answer = await fetch("/presence", { cache: "no-store", signal: AbortSignal.timeout(5000) });
    if (answer.ok && (await answer.text()) !== seen) {
      location.replace(location.pathname); // the server leads on from there; never a form once more
      return;
    }
  } catch {
    // No answer is no news: the server decides on every request anyway.
  }
  next = setTimeout(look, EVERY);
}

document.addEventListener("visibilitychange", () => document.hidden || look());
look();
