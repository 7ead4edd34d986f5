// Say what letters use that some mail program does not know: node --input-type=module - FILE... < client_support.mjs
//
// caniemail finds the features; support is then read from its data, because its own list of programs lacks Outlook on the web.

import { readFileSync } from "node:fs";
import { basename } from "node:path";
import { caniemail, rawData } from "caniemail";

const PROGRAMS = { gmail: null, outlook: ["windows", "outlook-com"], "apple-mail": null, yahoo: null };
const features = new Map(rawData.data.map((feature) => [feature.title, feature]));

const found = {};
for (const file of process.argv.slice(2)) {
  const { issues } = caniemail({ clients: Object.keys(PROGRAMS).map((program) => `${program}.*`), html: readFileSync(file, "utf-8") });
  const used = new Set([...issues.errors.values(), ...issues.warnings.values()].flat().map(({ title }) => title));
  found[basename(file, ".html")] = [...used].sort().map((title) => ({ feature: title, unsupported: unsupported(title) }));
}
process.stdout.write(JSON.stringify(found));

function unsupported(title) {
  const { stats } = features.get(title);
  return Object.entries(PROGRAMS).flatMap(([program, only]) =>
    Object.entries(stats[program] ?? {})
      .filter(([platform, versions]) => (only ?? [platform]).includes(platform) && newest(versions).startsWith("n"))
      .map(([platform]) => `${program} ${platform}`),
  );
}

function newest(versions) {
  return versions[Object.keys(versions).sort().at(-1)];
}
