// Validate letters as HTML, with what e-mail needs allowed: node --input-type=module - FILE... < html_validate.mjs
//
// The preset is html-validate's own plus its rules for whole documents and for accessibility. Off, because mail programs ask for it: styles
// in attributes (Gmail drops others), conditional comments (Outlook), and the layout attributes of tables (Outlook has no CSS for them).

import { readFileSync } from "node:fs";
import { basename } from "node:path";
import { HtmlValidate, StaticConfigLoader } from "html-validate";

const LAYOUT = {
  table: ["width", "cellpadding", "cellspacing"],
  td: ["align", "width", "height"],
  th: ["align"],
};
const allowed = Object.entries(LAYOUT).map(([tag, names]) => [
  tag,
  { inherit: tag, attributes: Object.fromEntries(names.map((name) => [name, { deprecated: false }])) },
]);
const config = {
  root: true,
  extends: ["html-validate:recommended", "html-validate:document", "html-validate:a11y"],
  elements: ["html5", Object.fromEntries(allowed)],
  rules: { "no-inline-style": "off", "no-conditional-comment": "off" },
};
const validator = new HtmlValidate(new StaticConfigLoader(config));

const found = {};
for (const file of process.argv.slice(2)) {
  const report = await validator.validateString(readFileSync(file, "utf-8"), file);
  found[basename(file, ".html")] = report.results.flatMap(({ messages }) =>
    messages.map(({ ruleId, message, line }) => ({ rule: ruleId, message, line })),
  );
}
process.stdout.write(JSON.stringify(found));
