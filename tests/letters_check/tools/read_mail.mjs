// Read letters as nodemailer's parser does, and hand back what it understood: node --input-type=module - FILE... < read_mail.mjs

import { readFileSync } from "node:fs";
import { basename } from "node:path";
import { simpleParser } from "mailparser";

const found = {};
for (const file of process.argv.slice(2)) {
  const mail = await simpleParser(readFileSync(file), { skipHtmlToText: true, skipTextToHtml: true, skipImageLinks: true });
  found[basename(file, ".eml")] = {
    subject: mail.subject,
    from: mail.from?.value.map(({ address }) => address),
    to: mail.to?.value,
    date: mail.date?.toISOString(),
    message_id: mail.messageId,
    headers: [...mail.headerLines].map(({ key }) => key),
    text: mail.text,
    html: mail.html,
    attachments: mail.attachments.length,
  };
}
process.stdout.write(JSON.stringify(found));
