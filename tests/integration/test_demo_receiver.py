"""The demo's mail server holds a real conversation and keeps what it accepts."""

import json
import mailbox
import signal
import smtplib
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

LETTER = "From: a@kestrel.example\r\nSubject: Hello\r\n\r\n.a dot in front\r\n.\r\nfull stop.\r\n"


@dataclass
class Running:
    process: "subprocess.Popen[str]"
    port: int
    maildir: Path

    def letters(self) -> list[mailbox.MaildirMessage]:
        box = mailbox.Maildir(str(self.maildir), create=False)
        return list(box)

    def stop(self) -> dict[str, int]:
        self.process.send_signal(signal.SIGTERM)
        output, _ = self.process.communicate(timeout=20)
        return dict(json.loads(output))


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[Running]:
    command = [sys.executable, "-m", "workers.demo.receiver", "--maildir", str(tmp_path / "mail")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    with process:
        assert process.stdout is not None
        try:
            yield Running(process, json.loads(process.stdout.readline())["listening"], tmp_path / "mail")
        finally:
            process.terminate()


def test_a_letter_arrives_whole_with_its_envelope(receiver: Running) -> None:
    with smtplib.SMTP("127.0.0.1", receiver.port) as client:
        client.sendmail("sender@kestrel.example", ["anna@xn--bcher-kva.example"], LETTER)
    (letter,) = receiver.letters()
    assert letter["Delivered-To"] == "anna@xn--bcher-kva.example"
    assert letter["Return-Path"] == "<sender@kestrel.example>"
    assert letter["Subject"] == "Hello"
    assert letter.get_payload() == ".a dot in front\n.\nfull stop.\n"


def test_who_has_left_is_refused_and_nobody_else(receiver: Running) -> None:
    with smtplib.SMTP("127.0.0.1", receiver.port) as client:
        refused = client.sendmail("a@kestrel.example", ["gone.x@k.example", "Unknown.y@k.example", "going.z@k.example"], LETTER)
    assert set(refused) == {"gone.x@k.example", "Unknown.y@k.example"}
    assert refused["gone.x@k.example"][0] == 550
    assert refused["gone.x@k.example"][1].startswith(b"5.1.1")
    assert receiver.stop() == {"accepted": 1, "refused": 2}


def test_pipelined_letters_arrive_one_by_one_and_each_command_is_answered(receiver: Running) -> None:
    with socket.create_connection(("127.0.0.1", receiver.port), timeout=10) as connection, connection.makefile("rwb") as stream:
        assert stream.readline().startswith(b"220")
        stream.write(b"EHLO test\r\n")
        stream.flush()
        offered = [stream.readline()]
        while offered[-1][3:4] == b"-":
            offered.append(stream.readline())
        assert b"250-PIPELINING\r\n" in offered
        envelope = b"MAIL FROM:<a@kestrel.example>\r\nRCPT TO:<%d@kestrel.example>\r\nDATA\r\n"
        stream.write(envelope % 1)
        stream.flush()
        replies = [stream.readline()[:3] for _ in range(3)]
        # The next envelope right behind the final dot, and a refused one behind that.
        stream.write(LETTER.replace("\r\n.", "\r\n..").encode() + b".\r\n" + envelope % 2)
        stream.flush()
        replies += [stream.readline()[:3] for _ in range(4)]
        stream.write(
            b"Subject: second\r\n\r\n.\r\nMAIL FROM:<a@kestrel.example>\r\nRCPT TO:<gone.b@kestrel.example>\r\nDATA\r\nRSET\r\nQUIT\r\n"
        )
        stream.flush()
        replies += [stream.readline()[:3] for _ in range(6)]
    assert replies == [b"250", b"250", b"354", b"250", b"250", b"250", b"354", b"250", b"250", b"550", b"503", b"250", b"221"]
    assert sorted(str(letter["Delivered-To"]) for letter in receiver.letters()) == ["1@kestrel.example", "2@kestrel.example"]


def test_an_empty_letter_is_a_letter(receiver: Running) -> None:
    with smtplib.SMTP("127.0.0.1", receiver.port) as client:
        client.helo()
        client.mail("a@kestrel.example")
        client.rcpt('"quoted local"@kestrel.example')
        assert client.docmd("DATA")[0] == 354
        assert client.docmd(".")[0] == 250
    assert len(receiver.letters()) == 1
