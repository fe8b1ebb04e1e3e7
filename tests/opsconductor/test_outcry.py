"""Telling people without a database: real mail to a real socket, a real POST, and nobody held up."""

from __future__ import annotations

import json
import logging
import socket
import threading
from contextlib import contextmanager
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from opsconductor import env, outcry
from opsconductor.env import SettingError
from opsconductor.outcry import Outcry
from tests.patience import SECONDS, until


class MailSink(threading.Thread):
    """As much of an SMTP server as takes a message."""

    def __init__(self):
        super().__init__(daemon=True)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.mails, self.recipients = [], []
        self.start()

    def run(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with connection, connection.makefile("rwb") as stream:
                self.talk(stream)

    def talk(self, stream):
        def say(line):
            stream.write(line + b"\r\n")
            stream.flush()

        say(b"220 sink")
        for line in stream:
            verb = line[:4].upper()
            if verb == b"DATA":
                say(b"354 go on")
                self.mails.append(message_from_bytes(b"".join(iter(stream.readline, b".\r\n"))))
            elif verb == b"RCPT":
                self.recipients.append(line.decode().strip())
            elif verb == b"QUIT":
                say(b"221 bye")
                return
            say(b"250 fine")


@pytest.fixture
def mail(settings):
    sink = MailSink()
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", sink.port
    settings.EMAIL_USE_TLS = settings.EMAIL_USE_SSL = False
    settings.EMAIL_HOST_USER = settings.EMAIL_HOST_PASSWORD = ""
    settings.DEFAULT_FROM_EMAIL = "noc@example.net"
    yield sink
    sink.listener.close()


@contextmanager
def web(status=200):
    got = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            got.append((self.path, self.headers["Content-Type"], json.loads(body)))
            self.send_response(status)
            self.end_headers()

        def log_message(self, *args):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/hook?key=s3cret", got
    finally:
        server.shutdown()
        server.server_close()


def test_mail_and_post_say_what_happened_where(settings, mail, caplog):
    with web() as (url, got):
        settings.SELF_ALERT_TO = ["a@example.net", url, "b@example.net"]
        voice = Outcry()
        voice.cry("Events are spooled", "The database takes no events; they wait on the disk “/var”.")
        assert voice.flush(SECONDS)

    assert len(mail.mails) == 1
    message = mail.mails[0]
    assert message["Subject"] == "[OpsConductor] Events are spooled"
    assert message["To"] == "a@example.net, b@example.net"
    assert message["From"] == "noc@example.net"
    body = message.get_payload(decode=True).decode()
    assert "they wait on the disk" in body
    assert "“/var”" in body
    assert socket.gethostname() in body
    assert [r.split(":")[1] for r in mail.recipients] == ["<a@example.net>", "<b@example.net>"]
    path, kind, posted = got[0]
    assert (path, kind) == ("/hook?key=s3cret", "application/json")
    assert posted["subject"] == "Events are spooled"
    assert set(posted) == {"source", "host", "subject", "text", "at"}
    assert "s3cret" not in caplog.text
    assert [r.levelno for r in caplog.records].count(logging.CRITICAL) == 1


def test_one_that_fails_does_not_keep_the_others_from_being_told(settings, mail, caplog):
    with socket.socket() as closed, web(500) as (broken, _), web() as (url, got):
        closed.bind(("127.0.0.1", 0))
        dead = f"http://127.0.0.1:{closed.getsockname()[1]}/"
        settings.SELF_ALERT_TO = [dead, broken, url, "a@example.net"]
        voice = Outcry()
        voice.cry("Spool full", "Events are being lost.")
        assert voice.flush(SECONDS)

    assert len(got) == len(mail.mails) == 1
    assert caplog.text.count("could not be told") == 2


def test_whoever_cries_is_not_held_up_by_a_server_that_says_nothing(settings, monkeypatch):
    asked = threading.Event()
    answer = threading.Event()

    def hang(subject, text):
        asked.set()
        assert answer.wait(SECONDS)

    voice = Outcry(send=hang)
    voice.cry("Spool full", "Events are being lost.")  # returns, although nobody answers before the next lines
    assert asked.wait(SECONDS)
    assert not voice.flush(0.01)
    answer.set()
    assert voice.flush(SECONDS)


def test_one_message_a_subject_and_what_came_meanwhile_when_the_time_is_over(caplog):
    sent = []
    voice = Outcry(every_seconds=3600.0, send=lambda *message: sent.append(message))
    for n in range(3):
        voice.cry("Spooling", f"time {n}")
    voice.cry("Stored again", "over")
    assert voice.flush(SECONDS)

    assert sorted(subject for subject, _ in sent) == ["Spooling", "Stored again"]
    assert caplog.text.count("CRITICAL") == 4, "each stands in the log"

    voice._subjects["Spooling"].timer.cancel()
    voice._say_what_waits("Spooling")  # as the timer does after an hour
    assert voice.flush(SECONDS)
    late = sent[-1][1]
    assert "time 1" in late
    assert "time 2" in late
    assert "time 0" not in late


def test_the_timer_sends_what_waits(caplog):
    sent = []
    voice = Outcry(every_seconds=0.05, send=lambda *message: sent.append(message))
    voice.cry("Spooling", "first")
    voice.cry("Spooling", "second")

    until(lambda: any("second" in text for _, text in sent))


def test_nobody_to_tell_is_no_error(settings, caplog):
    settings.SELF_ALERT_TO = []
    voice = Outcry()
    voice.cry("Spooling", "text")

    assert voice.flush(SECONDS)
    assert "Spooling: text" in caplog.text
    assert "could not" not in caplog.text


def test_a_line_break_in_a_subject_adds_no_header(mail, settings):
    outcry.send_mail(["a@example.net"], "x\r\nBcc: b@example.net", "text")

    assert mail.mails[0]["Bcc"] is None


# --- what the environment says ---


def test_addresses_and_urls(monkeypatch):
    monkeypatch.setenv("EMAIL_URL", "smtp://mail.example.net")
    monkeypatch.setenv("OPSCONDUCTOR_SELF_ALERT_TO", " noc@example.net , https://hooks.example.net/x?y=z ")

    assert env.self_alert_to() == ["noc@example.net", "https://hooks.example.net/x?y=z"]
    monkeypatch.setenv("OPSCONDUCTOR_SELF_ALERT_TO", "")
    assert env.self_alert_to() == []
    assert not [line for line in env.unknown() if "SELF_ALERT" in line]


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("noc", "“noc” is neither a mail address nor a URL"),
        ("ftp://host/x", "neither a mail address nor a URL"),
        ("https://", "entry 1 begins like a URL and is none"),
        ("a@b.c,http://h:99999/", "entry 2 begins like a URL"),
        ("two words@example.net", "neither"),
    ],
)
def test_a_wrong_value_stops_the_start_with_a_sentence(monkeypatch, value, says):
    monkeypatch.setenv("EMAIL_URL", "smtp://mail.example.net")
    monkeypatch.setenv("OPSCONDUCTOR_SELF_ALERT_TO", value)

    with pytest.raises(SettingError, match=says):
        env.self_alert_to()


def test_mail_addresses_need_a_server(monkeypatch):
    monkeypatch.setenv("OPSCONDUCTOR_SELF_ALERT_TO", "noc@example.net")

    with pytest.raises(SettingError, match="EMAIL_URL is not set"):
        env.self_alert_to()


def test_email_url(monkeypatch):
    monkeypatch.setenv("EMAIL_URL", "smtp+tls://ops%40example.net:p%3Aw@mail.example.net?from=noc@example.net")

    assert env.email() == {
        "EMAIL_HOST": "mail.example.net",
        "EMAIL_PORT": 587,
        "EMAIL_HOST_USER": "ops@example.net",
        "EMAIL_HOST_PASSWORD": "p:w",
        "EMAIL_USE_TLS": True,
        "EMAIL_USE_SSL": False,
        "DEFAULT_FROM_EMAIL": "noc@example.net",
    }
    monkeypatch.setenv("EMAIL_URL", "smtps://[::1]:4650/")
    assert (env.email()["EMAIL_HOST"], env.email()["EMAIL_PORT"]) == ("::1", 4650)
    monkeypatch.setenv("EMAIL_URL", "")
    assert env.email() == {}


@pytest.mark.parametrize(
    "url",
    [
        "mail.example.net",
        "http://mail.example.net",
        "smtp://",
        "smtp://host:99999",
        "smtp://host/path",
        "smtp://u:s3cret@host?tls=yes",
        "smtp://u:s3cret@host?from=nobody",
    ],
)
def test_a_wrong_email_url_is_said_without_its_password(monkeypatch, url):
    monkeypatch.setenv("EMAIL_URL", url)

    with pytest.raises(SettingError, match="EMAIL_URL") as error:
        env.email()
    assert "s3cret" not in str(error.value)
