"""What every peer does for one member, written as an app usually has it: a transaction, a template, a new connection to the relay.

The peers differ in how this is distributed, not in what is done. One table of theirs says who was dealt with, so that their end can be
checked like ours. Letters are as large as ours: the text and the HTML of one that Portcullis sent are the template.
"""

import email
import os
import smtplib
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import default
from email.utils import make_msgid
from functools import cache
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import jinja2
import psycopg

RECORD = """
    CREATE SCHEMA peer;
    CREATE TABLE peer.record (
        user_id bigint PRIMARY KEY, verdict text NOT NULL, sessions_ended integer NOT NULL,
        ended_at timestamptz NOT NULL DEFAULT clock_timestamp(), mailed_at timestamptz);
    CREATE TABLE peer.ready (at timestamptz NOT NULL DEFAULT clock_timestamp());
    CREATE TABLE peer.started (at timestamptz NOT NULL DEFAULT clock_timestamp());
"""

FACTS = """
    SELECT email, display_name, has_password, has_sso, has_second_factor, is_active
    FROM directory.member WHERE organization_id = %s AND user_id = %s
"""

END = """
    UPDATE app.sessions SET ended_at = clock_timestamp()
    WHERE user_id = %s AND ended_at IS NULL AND expires_at > now() AND NOT restricted_to_enrolment
      AND (organization_id IS NULL OR organization_id = %s) AND started_with IS DISTINCT FROM 'sso'
"""

_own = threading.local()


@dataclass(frozen=True, slots=True)
class Template:
    """Text and HTML of a letter, with a place for the member's name."""

    subject: str
    text: jinja2.Template
    html: jinja2.Template


def connection() -> "psycopg.Connection[Any]":
    """Return this thread's connection, opened once."""
    if not hasattr(_own, "connection"):
        _own.connection = psycopg.connect(os.environ["DATABASE_URL"])
    return cast("psycopg.Connection[Any]", _own.connection)


def members_of(organization_id: int) -> Iterator[int]:
    """Yield who has to be dealt with."""
    with connection().transaction():
        rows = (
            connection().execute("SELECT user_id FROM app.memberships WHERE organization_id = %s ORDER BY 1", [organization_id]).fetchall()
        )
    return (row[0] for row in rows)


def deal_with(organization_id: int, user_id: int) -> None:
    """End the member's sessions if they must end, write that down, send the letter."""
    with connection().transaction():
        row = connection().execute(FACTS, [organization_id, user_id]).fetchone()
        if row is None:
            return
        address, name, *facts = row
        verdict = verdict_of(*facts)
        ended = connection().execute(END, [user_id, organization_id]).rowcount if verdict == "unprotected" else 0
        connection().execute(
            "INSERT INTO peer.record (user_id, verdict, sessions_ended) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
            [user_id, verdict, ended],
        )
    if verdict == "inactive" or address is None:
        return
    host, port = relay()
    with smtplib.SMTP(host, port) as client:
        client.send_message(message(address, name))
    with connection().transaction():
        connection().execute("UPDATE peer.record SET mailed_at = clock_timestamp() WHERE user_id = %s", [user_id])


def verdict_of(has_password: bool, has_sso: bool, has_second_factor: bool, is_active: bool) -> str:  # noqa: FBT001 - a row's columns
    """Decide, by design.md's table."""
    if not is_active:
        return "inactive"
    if not has_password and has_sso:
        return "sso"
    return "protected" if has_second_factor else "unprotected"


def message(address: str, name: str | None) -> EmailMessage:
    """Render and build one letter."""
    template, sender = _template(), "security@kestrel.example"
    built = EmailMessage()
    built["From"], built["To"], built["Subject"] = f"Kestrel Security <{sender}>", _in_ascii(address), template.subject
    built["Message-ID"] = make_msgid(domain="kestrel.example")
    built["Auto-Submitted"] = "auto-generated"
    built.set_content(template.text.render(name=name or ""))
    built.add_alternative(template.html.render(name=name or ""), subtype="html")
    return built


def relay() -> tuple[str, int]:
    """Return host and port of `SMTP_URL`."""
    parts = urlsplit(os.environ["SMTP_URL"])
    return parts.hostname or "", parts.port or 25


def _in_ascii(address: str) -> str:
    """Encode the domain: without this, smtplib and aiosmtplib fail at the first `müller.example`, a dramatiq task retries for days."""
    local, _, domain = address.rpartition("@")
    return f"{local}@{domain.encode('idna').decode()}"


@cache
def _template() -> Template:
    letter = email.message_from_bytes(Path(os.environ["LETTER"]).read_bytes(), policy=default)
    parts = {part.get_content_type(): part.get_content() for part in letter.walk() if not part.is_multipart()}
    environment = jinja2.Environment(autoescape=True, keep_trailing_newline=True)
    text = environment.from_string("{{ name }}\n\n{% raw %}" + parts["text/plain"] + "{% endraw %}")
    html = environment.from_string(_with_name(parts["text/html"]))
    return Template(subject=str(letter["Subject"]), text=text, html=html)


def _with_name(html: str) -> str:
    head, _, body = html.partition("</h1>")
    return "{% raw %}" + head + "{% endraw %}</h1><p>{{ name }}</p>{% raw %}" + body + "{% endraw %}"


def note(table: str) -> None:
    """Note that this peer is ready, or begins."""
    with connection().transaction():
        connection().execute(f"INSERT INTO peer.{table} DEFAULT VALUES")
