// What is nicer with a script: times in the browser's zone, and a page that changes by itself. Nothing needs it.
"use strict";

const policy = window.trustedTypes?.createPolicy("console", { createHTML: (html) => html }) ?? { createHTML: (html) => html };
const live = document.querySelector("[data-live]");
const trouble = document.getElementById("trouble");
const news = document.getElementById("news");
const title = document.title;
const AGAIN_MS = 3000;

function localize(root) {
  const options = { day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false, timeZoneName: "short" };
  for (const time of root.querySelectorAll("time[datetime]:not([data-zone])")) {
    time.title = time.textContent;
    time.textContent = new Intl.DateTimeFormat("en-GB", options).format(new Date(time.dateTime));
  }
}

// Somebody types, or has a form open: what they look at stays.
function isBusy() {
  const focus = document.activeElement;
  const typing = live.contains(focus) && focus.closest("form");
  return typing || live.querySelector("details.order[open]") || (!getSelection().isCollapsed && live.contains(getSelection().anchorNode));
}

function show(html) {
  const focus = document.activeElement;
  const kept = live.contains(focus) ? focus.id || focus.getAttribute("href") : null;
  const scrolled = [...live.querySelectorAll(".scroll")].map((one) => one.scrollLeft);
  live.innerHTML = policy.createHTML(html);
  localize(live);
  live.querySelectorAll(".scroll").forEach((one, place) => { one.scrollLeft = scrolled[place] ?? 0; });
  if (kept) {
    const again = document.getElementById(kept) ?? [...live.querySelectorAll("a")].find((one) => one.getAttribute("href") === kept);
    again?.focus({ preventScroll: true });
  }
}

function tell() {
  const light = document.getElementById("light");
  if (!light) return;
  const sentence = light.querySelector(".sentence").textContent;
  document.title = `${light.dataset.colour[0].toUpperCase()}${light.dataset.colour.slice(1)}: ${title}`;
  if (tell.last !== undefined && tell.last !== sentence) news.textContent = sentence;
  tell.last = sentence;
}

function complain(text) {
  if (trouble.textContent !== text) trouble.textContent = text;
  trouble.hidden = text === "";
}

function watch() {
  const address = new URL(location.href);
  address.searchParams.set("live", "1");
  let source = null;
  const open = () => {
    if (source || document.hidden) return;
    source = new EventSource(address);
    source.addEventListener("part", (event) => { complain(""); if (!isBusy()) { show(event.data); tell(); } });
    source.addEventListener("trouble", (event) => complain(event.data));
    source.addEventListener("gone", () => location.reload());
    source.onerror = () => {
      complain("The console can't be reached; this is how it was.");
      if (source?.readyState !== EventSource.CLOSED) return; // a broken connection: the browser tries again by itself
      close(); // an answer that is no stream: it does not
      setTimeout(open, AGAIN_MS);
    };
  };
  const close = () => { source?.close(); source = null; };
  document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
  addEventListener("pagehide", close);
  open();
}

localize(document);
tell();
if (live) watch();
