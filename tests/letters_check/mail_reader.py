"""nodemailer's parser must understand exactly what Python's understands."""

import email
import email.policy
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.letters_check.findings import Fault, Finding
from tests.letters_check.letters import Letter, write
from tests.letters_check.tools import Tools


def check(letters: Sequence[Letter], tools: Tools) -> Finding:
    """Compare what both read in every letter."""
    with tempfile.TemporaryDirectory() as folder:
        found = tools.run_node("read_mail.mjs", *map(str, write(letters, Path(folder), "eml")))
    faults = [Fault(letter=letter.name, what=what) for letter in letters for what in differences(letter, found[letter.name])]
    return Finding(check="mail reader", letters=len(letters), closest="", faults=faults)


def differences(letter: Letter, read: Mapping[str, Any]) -> Iterator[str]:
    """Say what the other parser reads differently."""
    message = email.message_from_bytes(letter.content, policy=email.policy.default)
    [recipient] = message["To"].addresses
    ours = {
        "subject": letter.subject,
        "from": [sender.addr_spec for sender in message["From"].addresses],
        "to": [{"address": recipient.addr_spec, "name": recipient.display_name}],
        "message_id": message["Message-ID"],
        "headers": [name.lower() for name in message],
        "text": letter.text.strip(),
        "html": letter.html.strip(),
        "attachments": 0,
    }
    theirs = {**read, "text": read["text"].strip(), "html": read["html"].strip()}
    yield from (f"{name} is read as {theirs[name]!r:.200}" for name, value in ours.items() if theirs[name] != value)
    if datetime.fromisoformat(read["date"]) != message["Date"].datetime:
        yield f"the date is read as {read['date']}"
