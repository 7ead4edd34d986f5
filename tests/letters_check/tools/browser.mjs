// Show letters in Chromium and say what is seen, as one JSON document: node --input-type=module - ORDER < browser.mjs
//
// ORDER is JSON: { letters: [file], measured: [file], chromium: path, sandbox: boolean, pictures: folder or null }. Each letter is looked at
// light, dark (its own dark colours), inverted (every colour turned into its opposite, as some mail programs do), and on a phone. Contrast
// is measured in `measured` only: a picture takes longer than all the rest. The page never gets a network.

import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { basename, join } from "node:path";
import { chromium } from "playwright-core";

const order = JSON.parse(process.argv[2]);
const axe = readFileSync(createRequire(join(process.cwd(), "any.js")).resolve("axe-core/axe.min.js"), "utf-8");
const WIDE = { width: 640, height: 900 };
const SCALE = 2; // strokes of two pixels and more have their full colour somewhere
const PHONE = { width: 360, height: 740 };

const sessions = new Map();
const browser = await chromium.launch({ executablePath: order.chromium, chromiumSandbox: order.sandbox });
try {
  const context = await browser.newContext({ viewport: WIDE, deviceScaleFactor: SCALE, offline: true });
  const page = await context.newPage();
  const seen = {};
  for (const file of order.letters) {
    seen[basename(file, ".html")] = await look(page, file);
  }
  process.stdout.write(JSON.stringify({ version: browser.version(), letters: seen }));
} finally {
  await browser.close();
}

async function look(page, file) {
  const html = readFileSync(file, "utf-8");
  const found = { violations: [], contrast: {}, wide: null, phone: null };
  found.wide = await show(page, html, WIDE);
  for (const mode of ["light", "dark", "inverted"]) {
    await page.emulateMedia({ colorScheme: mode === "dark" ? "dark" : "light" });
    if (mode === "inverted") await page.evaluate(invert);
    found.violations.push(...(await violations(page)).map((said) => ({ mode, ...said })));
    if (order.measured.includes(file)) found.contrast[mode] = await contrast(page, picture(file, mode));
  }
  found.phone = await show(page, html, PHONE);
  if (order.pictures) await shoot(page, picture(file, "phone"));
  return found;
}

// Show a letter in light colours, with a window as tall as it is, so that a picture shows all of it.
async function show(page, html, { width, height }) {
  await page.emulateMedia({ colorScheme: "light" });
  await page.setViewportSize({ width, height });
  await page.setContent(html);
  const measured = await page.evaluate(measure);
  await page.setViewportSize({ width, height: Math.max(height, measured.height) });
  return measured;
}

function picture(file, mode) {
  return order.pictures ? join(order.pictures, `${basename(file, ".html")}.${mode}.png`) : undefined;
}

async function violations(page) {
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
  return violations.map(({ id, help, nodes }) => ({ id, help, where: nodes[0].html.slice(0, 200) }));
}

// The lowest contrast of any word, from the pixels: the ground is the commonest colour around it, the ink what differs most from that.
async function contrast(page, path) {
  // One page for everything: with a second one open, the browser takes a second for each picture of the first.
  const words = await page.evaluate(visibleWords);
  const png = await shoot(page, path);
  return page.evaluate(lowestContrast, { png, words, scale: SCALE });
}

// The viewport is as tall as the page by now; the browser's own command leaves out what Playwright waits for, and packs loosely.
async function shoot(page, path) {
  if (!sessions.has(page)) sessions.set(page, await page.context().newCDPSession(page));
  const session = sessions.get(page);
  const clip = { x: 0, y: 0, ...page.viewportSize(), scale: SCALE };
  const { data } = await session.send("Page.captureScreenshot", { format: "png", optimizeForSpeed: true, clip });
  if (path) writeFileSync(path, Buffer.from(data, "base64"));
  return data;
}

// What follows runs inside a page.

function visibleWords() {
  const words = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const range = document.createRange();
    for (const word of walker.currentNode.data.matchAll(/\S+/g)) {
      range.setStart(walker.currentNode, word.index);
      range.setEnd(walker.currentNode, word.index + word[0].length);
      for (const { x, y, width, height } of range.getClientRects()) {
        if (width > 1 && height > 1) words.push({ x: x + scrollX, y: y + scrollY, width, height, text: word[0] });
      }
    }
  }
  return words;
}

async function lowestContrast({ png, words, scale }) {
  const bytes = Uint8Array.from(atob(png), (character) => character.charCodeAt(0));
  const image = await createImageBitmap(new Blob([bytes], { type: "image/png" }));
  const canvas = new OffscreenCanvas(image.width, image.height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(image, 0, 0);
  const linear = (channel) => (channel <= 0.04045 ? channel / 12.92 : ((channel + 0.055) / 1.055) ** 2.4);
  const luminance = (rgb) =>
    0.2126 * linear((rgb >> 16) / 255) + 0.7152 * linear(((rgb >> 8) & 255) / 255) + 0.0722 * linear((rgb & 255) / 255);
  const ratio = (one, other) => (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
  let lowest = { ratio: 21, text: "", words: words.length };
  for (const { x, y, width, height, text } of words) {
    const { data } = context.getImageData(Math.floor(x * scale), Math.floor(y * scale), Math.ceil(width * scale), Math.ceil(height * scale));
    const count = new Map();
    for (let at = 0; at < data.length; at += 4) {
      const rgb = (data[at] << 16) | (data[at + 1] << 8) | data[at + 2];
      count.set(rgb, (count.get(rgb) ?? 0) + 1);
    }
    const ground = luminance([...count].reduce((most, each) => (each[1] > most[1] ? each : most))[0]);
    const ink = Math.max(...[...count.keys()].map((rgb) => ratio(luminance(rgb), ground)));
    if (ink < lowest.ratio) lowest = { ...lowest, ratio: ink, text };
  }
  return lowest;
}

function measure() {
  const links = [...document.querySelectorAll("a")];
  const sizes = [...document.querySelectorAll("body *")]
    .filter((element) => [...element.childNodes].some((child) => child.nodeType === Node.TEXT_NODE && child.data.trim()))
    .filter((element) => element.checkVisibility())
    .map((element) => parseFloat(getComputedStyle(element).fontSize));
  return {
    text: document.body.innerText,
    height: document.scrollingElement.scrollHeight,
    links: links.map((link) => link.getAttribute("href")),
    overflow: document.scrollingElement.scrollWidth - document.scrollingElement.clientWidth,
    smallestText: Math.min(...sizes),
    lowestButton: Math.min(...[...document.querySelectorAll(".action a")].map((link) => link.getBoundingClientRect().height), 1000),
  };
}

function invert() {
  const opposite = (colour) => {
    const [red, green, blue, alpha = "1"] = colour.match(/[\d.]+/g);
    return `rgba(${255 - red}, ${255 - green}, ${255 - blue}, ${alpha})`;
  };
  const properties = ["color", "background-color", "border-top-color", "border-bottom-color"];
  const all = [document.documentElement, ...document.querySelectorAll("body, body *")].map((element) => {
    const style = getComputedStyle(element);
    return [element, properties.map((property) => [property, opposite(style.getPropertyValue(property))])];
  });
  for (const [element, colours] of all) {
    for (const [property, colour] of colours) element.style.setProperty(property, colour, "important");
  }
}
