"""Sort a relay's refusal into whose matter it is.

The rules are `TABLE`, read from the top; the first row that fits decides. A row may name stages, codes, RFC 3463 codes and words;
what it leaves out fits everything. To teach the mailer a relay's habit, add a row and its example in the test.

`RELAY` means "nobody's attempt", so a row may only say so for what cannot be one recipient's own trouble: that letter would come
round for ever.
"""

import re
from dataclasses import dataclass
from typing import NamedTuple

from jobs.ports import Receipt, Scope, SmtpStage

TEXT_CHARACTERS = 200
ENHANCED = re.compile(r"\s*([245]\.\d{1,3}\.\d{1,3})(?:[\s:]|$)")
ENHANCED_AT_END = re.compile(r"\(#([245]\.\d{1,3}\.\d{1,3})\)")
"""qmail's way to write it."""
UNPRINTABLE = re.compile(r"[^\x20-\x7e]+")
QUEUE_ID = re.compile(
    r"queued as (?P<postfix>[^\s;,]+)"
    r"|\bid=(?P<exim>[^\s;,]+)"
    r"|\bInternalId=(?P<exchange>\d+)"
    r"|^Ok:? (?P<ses>[0-9A-Za-z._-]{12,})$"
    r"|^OK +\d+ (?P<gmail>\S+) - gsmtp"
    r"|^(?P<sendmail>[0-9A-Za-z]{6,}) Message accepted",
    re.IGNORECASE,
)


class Reply(NamedTuple):
    """One reply of a relay, already on one line: code, RFC 3463 code where there is one, and its words."""

    code: int
    enhanced: str | None
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One rule. `again`: a new transaction, on another connection, may try at once. `close`: this connection is of no more use."""

    name: str
    scope: Scope
    stages: frozenset[SmtpStage] | None = None
    codes: re.Pattern[str] | None = None
    enhanced: re.Pattern[str] | None = None
    words: re.Pattern[str] | None = None
    again: bool = False
    close: bool = False

    def fits(self, stage: SmtpStage, reply: Reply) -> bool:
        """Say whether every condition that the row names holds."""
        return (
            (self.stages is None or stage in self.stages)
            and (self.codes is None or self.codes.fullmatch(str(reply.code)) is not None)
            and (self.enhanced is None or self.enhanced.fullmatch(reply.enhanced or "") is not None)
            and (self.words is None or self.words.search(reply.text) is not None)
        )


def _words(*alternatives: str) -> re.Pattern[str]:
    return re.compile("|".join(alternatives), re.IGNORECASE)


SETTING_UP = frozenset({SmtpStage.CONNECT, SmtpStage.TLS, SmtpStage.AUTH})
MAIL = frozenset({SmtpStage.MAIL})
RCPT = frozenset({SmtpStage.RCPT})
CONTENT = frozenset({SmtpStage.DATA, SmtpStage.DOT})
NOT_RCPT = MAIL | CONTENT
LATER = re.compile(r"4\d\d")
NEVER = re.compile(r"5\d\d")

TABLE: tuple[Row, ...] = (
    Row(name="connection set-up", stages=SETTING_UP, scope=Scope.RELAY, close=True),
    Row(name="closing the channel", codes=re.compile("421"), scope=Scope.RELAY, close=True),
    Row(name="too many recipients or messages", codes=LATER, enhanced=re.compile(r"[45]\.5\.3"), scope=Scope.RELAY, again=True),
    Row(
        name="too many recipients or messages, in words",
        codes=LATER,
        words=_words(r"too many (recipients|messages|mails)"),
        scope=Scope.RELAY,
        again=True,
    ),
    Row(name="throttled or not available", codes=re.compile("454"), scope=Scope.RELAY),
    Row(
        name="the group takes no letters from outside",
        codes=NEVER,
        enhanced=re.compile(r"5\.7\.\d+"),
        words=_words(r"RESOLVER\.RST", r"sender ?not ?authenticated ?for ?group", r"not in allowed recipients list"),
        scope=Scope.RECIPIENT,
    ),
    Row(name="authentication wanted", codes=re.compile("530|534|535|538"), scope=Scope.RELAY, close=True),
    Row(
        name="authentication wanted, in words",
        codes=re.compile("503|550|553"),
        words=_words(r"authenticat\w+ (is )?required", r"need authentication", r"authenticate first", r"not authenticated"),
        scope=Scope.RELAY,
        close=True,
    ),
    Row(name="out of step", codes=re.compile("500|502|503"), scope=Scope.RELAY, close=True),
    Row(name="the account's own sending limit", enhanced=re.compile(r"[45]\.4\.5"), scope=Scope.RELAY),
    Row(
        name="the account's own sending limit, in words",
        words=_words(
            r"exceeded your (messaging|sending|maximum credits|hourly|daily)",
            r"sending (limit|quota|rate) (is )?exceeded",
            r"maximum credits",
        ),
        scope=Scope.RELAY,
    ),
    Row(
        name="the relay has no room",
        codes=LATER,
        words=_words(r"insufficient (system )?(storage|resources|disk|space)", r"out of (disk|memory|space)", r"queue file write error"),
        scope=Scope.RELAY,
    ),
    Row(name="the relay's system", stages=NOT_RCPT, codes=LATER, enhanced=re.compile(r"4\.3\.\d+"), scope=Scope.RELAY),
    Row(
        name="greylisted",
        codes=LATER,
        words=_words(r"gr[ae]y-?list", r"come back later", r"try again in \d+ (s|min)"),
        scope=Scope.RECIPIENT_FOR_NOW,
    ),
    Row(name="letter too large", enhanced=re.compile(r"5\.3\.4|5\.2\.3"), scope=Scope.MESSAGE),
    Row(
        name="letter too large, in words",
        codes=NEVER,
        words=_words(r"(message|mail|size|content)\b.{0,30}\b(too (large|big)|exceeds)\b", r"exceeds .{0,40}\bsize\b"),
        scope=Scope.MESSAGE,
    ),
    Row(name="mailbox full", stages=RCPT | CONTENT, enhanced=re.compile(r"[45]\.2\.2"), scope=Scope.RECIPIENT_FOR_NOW),
    Row(
        name="mailbox full, in words",
        stages=RCPT | CONTENT,
        words=_words(r"mailbox (is )?full", r"over ?quota", r"quota (is )?exceeded", r"exceed\w* .{0,20}quota", r"mailbox size limit"),
        scope=Scope.RECIPIENT_FOR_NOW,
    ),
    Row(name="sender not authentic", codes=NEVER, enhanced=re.compile(r"5\.7\.2[0-9]"), scope=Scope.MESSAGE),
    Row(name="sender's address at fault", enhanced=re.compile(r"[45]\.1\.[78]"), scope=Scope.MESSAGE),
    Row(
        name="sender or client at fault, in words",
        stages=RCPT | CONTENT,
        codes=NEVER,
        words=_words(
            r"sender (address )?rejected",
            r"sender verif(y|ication) failed",
            r"helo (command )?rejected",
            r"(client )?host .{0,60}(rejected|blocked)",
            r"relay(ing)?( access)? (is )?(denied|not (permitted|allowed))",
            r"unable to relay",
            r"rcpthosts",
        ),
        scope=Scope.MESSAGE,
    ),
    Row(
        name="policy, in words",
        stages=RCPT | CONTENT,
        codes=NEVER,
        words=_words(r"\b(spf|dkim|dmarc)\b", r"\bspam\b", r"black-?list", r"block-?list", r"\breputation\b", r"not verified"),
        scope=Scope.MESSAGE,
    ),
    Row(name="no such recipient", stages=RCPT | CONTENT, codes=NEVER, enhanced=re.compile(r"5\.1\.\d+"), scope=Scope.RECIPIENT),
    Row(name="mailbox disabled", stages=RCPT | CONTENT, codes=NEVER, enhanced=re.compile(r"5\.2\.[014]"), scope=Scope.RECIPIENT),
    Row(
        name="no such recipient, in words",
        stages=RCPT | CONTENT,
        codes=NEVER,
        words=_words(
            r"recipient address rejected",
            r"(user|recipient|mailbox|account|address)( is)? (unknown|unavailable|disabled|inactive|suspended|not found)",
            r"(unknown|invalid|no such) (local )?(user|recipient|mailbox|address|person)",
            r"(does not|doesn't) (exist|have an? )",
            r"no mailbox",
        ),
        scope=Scope.RECIPIENT,
    ),
    Row(name="domain cannot be reached", stages=RCPT | CONTENT, codes=NEVER, enhanced=re.compile(r"5\.4\.\d+"), scope=Scope.RECIPIENT),
    Row(name="policy", codes=NEVER, enhanced=re.compile(r"5\.7\.\d+"), scope=Scope.MESSAGE),
    Row(name="content", codes=NEVER, enhanced=re.compile(r"5\.6\.\d+"), scope=Scope.MESSAGE),
    Row(name="mailbox full, by the bare code", stages=RCPT | CONTENT, codes=re.compile("552"), scope=Scope.RECIPIENT_FOR_NOW),
    Row(name="anything else for ever, at RCPT", stages=RCPT, codes=NEVER, scope=Scope.RECIPIENT),
    Row(name="anything else for ever", codes=NEVER, scope=Scope.MESSAGE),
    Row(name="anything else for now, at MAIL", stages=MAIL, codes=LATER, scope=Scope.RELAY),
    Row(name="anything else for now", codes=LATER, scope=Scope.RECIPIENT_FOR_NOW),
    Row(name="no answer of this protocol", scope=Scope.RELAY, close=True),
)


def one_line(text: str) -> str:
    """Return at most 200 printable ASCII characters of somebody else's text."""
    if not (text.isascii() and text.isprintable()):
        text = UNPRINTABLE.sub(" ", text)
    return text.strip()[:TEXT_CHARACTERS]


def parse(code: int, text: str | bytes) -> Reply:
    """Split a reply's text (lines joined by LF, without their codes) into its RFC 3463 code and one line of words."""
    if isinstance(text, bytes):
        text = text.decode("ascii", "replace")
    enhanced: str | None = None
    words: list[str] = []
    for line in text.splitlines():
        found = ENHANCED.match(line)
        enhanced = enhanced or (found[1] if found else None)
        words.append(line[found.end() :].strip() if found else line.strip())
    said = one_line(" ".join(words))
    if enhanced is None and (found := ENHANCED_AT_END.search(said)):
        enhanced = found[1]
    return Reply(code=code, enhanced=enhanced, text=said)


def rule(stage: SmtpStage, reply: Reply) -> Row:
    """Return the row that decides on a reply that is no success."""
    return next(row for row in TABLE if row.fits(stage, reply))


def receipt(stage: SmtpStage, reply: Reply, scope: Scope) -> Receipt:
    """Return the receipt of a letter that `reply` decided."""
    return Receipt(scope=scope, stage=stage, code=reply.code, enhanced=reply.enhanced, text=reply.text)


def accepted(reply: Reply) -> Receipt:
    """Return the receipt of a letter whose final dot was answered with success, with the relay's own id for it."""
    return Receipt(
        scope=Scope.ACCEPTED,
        stage=SmtpStage.DOT,
        code=reply.code,
        enhanced=reply.enhanced,
        text=reply.text,
        relay_id=_queue_id(reply.text),
    )


def _queue_id(text: str) -> str | None:
    _, postfix, rest = text.partition(": queued as ")  # the most frequent by far, and the regex costs ten times as much
    if postfix:
        return rest.partition(" ")[0]
    found = QUEUE_ID.search(text)
    return found[found.lastgroup] if found and found.lastgroup else None
