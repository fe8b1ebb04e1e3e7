"""The way to tell people that needs no database: a line in the log, and mail or a POST to OPSCONDUCTOR_SELF_ALERT_TO.

For trouble that cannot become an alert, because what stores alerts is the trouble. Whoever cries is never held up: what
is sent is sent by a thread of its own, with timeouts. Of one subject at most one message goes out in 15 minutes; what
comes meanwhile is not dropped but sent when they are over, so that the last word reaches people too.
"""

from __future__ import annotations

import json
import logging
import smtplib
import socket
import ssl
import threading
import time
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime, make_msgid
from functools import partial
from urllib.parse import urlsplit

from django.conf import settings

from opsconductor.exceptions import sentence

log = logging.getLogger(__name__)

EVERY_SECONDS = 15 * 60.0
TIMEOUT_SECONDS = 10.0
MOST_SUBJECTS = 100
MOST_TEXT = 10_000


@dataclass
class _Subject:
    sent_at: float
    waiting: list[tuple[datetime, str]] = field(default_factory=list)
    timer: threading.Timer | None = None


class Outcry:
    """One a process; `cry` and `flush` below are those of this one."""

    def __init__(self, every_seconds: float | None = None, send: Callable[[str, str], None] | None = None) -> None:
        self._every_seconds = every_seconds
        self._send = send or _send_to_all
        self._subjects: dict[str, _Subject] = {}
        self._lock = threading.Lock()
        self._threads: set[threading.Thread] = set()

    def cry(self, subject: str, text: str) -> None:
        """Say it in the log, and to everybody in OPSCONDUCTOR_SELF_ALERT_TO. Returns at once, and never raises."""
        log.critical("%s: %s", subject, text)
        now, at = time.monotonic(), datetime.now(UTC)
        every = EVERY_SECONDS if self._every_seconds is None else self._every_seconds
        with self._lock:
            known = self._subjects.get(subject)
            if known is not None and now - known.sent_at < every:
                known.waiting = [*known.waiting[-9:], (at, text)]
                if known.timer is None:
                    known.timer = threading.Timer(known.sent_at + every - now, self._say_what_waits, (subject,))
                    known.timer.daemon = True
                    known.timer.start()
                return
            if len(self._subjects) >= MOST_SUBJECTS:
                for old in [s for s, k in self._subjects.items() if now - k.sent_at >= every and k.timer is None]:
                    del self._subjects[old]
            self._subjects[subject] = _Subject(now)
            self._start(subject, f"{text}\n\nSince {at:%Y-%m-%d %H:%M:%S} UTC.")

    def flush(self, seconds: float) -> bool:
        """Wait for what is being sent, before a process ends; True when all of it went out."""
        until = time.monotonic() + seconds
        for thread in list(self._threads):
            thread.join(max(0.0, until - time.monotonic()))
        return not any(thread.is_alive() for thread in list(self._threads))

    def _say_what_waits(self, subject: str) -> None:
        with self._lock:
            known = self._subjects[subject]
            waiting, known.waiting, known.timer, known.sent_at = known.waiting, [], None, time.monotonic()
            lines = [f"{at:%Y-%m-%d %H:%M:%S} UTC: {text}" for at, text in waiting]
            self._start(subject, "\n".join(["Since the last message:", *lines]))

    def _start(self, subject: str, text: str) -> None:
        """Call with the lock held."""
        thread = threading.Thread(target=self._run, args=(subject, text[:MOST_TEXT]), name="outcry", daemon=True)
        self._threads.add(thread)
        try:
            thread.start()
        except RuntimeError as error:  # no more threads, or the interpreter is ending
            self._threads.discard(thread)
            log.error("“%s” could not be sent: %s", subject, error)

    def _run(self, subject: str, text: str) -> None:
        try:
            self._send(subject, text)
        except Exception:
            log.exception("“%s” could not be sent.", subject)
        finally:
            self._threads.discard(threading.current_thread())


def _send_to_all(subject: str, text: str) -> None:
    """Mail in one message, each URL by itself; one that does not answer keeps the others waiting, not from it."""
    to: Sequence[str] = settings.SELF_ALERT_TO
    mail = [word for word in to if "://" not in word]
    for url in (word for word in to if "://" in word):
        _attempt(url, partial(post, url, subject, text))
    if mail:
        _attempt(", ".join(mail), partial(send_mail, mail, subject, text))


def _attempt(to: str, send: Callable[[], None]) -> None:
    # The path and query of a URL are often its secret.
    shown = f"{urlsplit(to).scheme}://{urlsplit(to).hostname}/…" if "://" in to else to
    try:
        send()
    except Exception as error:
        log.error("%s could not be told: %s", shown, sentence(error))
    else:
        log.info("%s was told.", shown)


def send_mail(to: Sequence[str], subject: str, text: str) -> None:
    """Through the server of EMAIL_URL. Raises OSError, smtplib.SMTPException."""
    mail = EmailMessage()
    mail["Subject"] = " ".join(f"[OpsConductor] {subject}".split())
    mail["From"] = settings.DEFAULT_FROM_EMAIL
    mail["To"] = ", ".join(to)
    mail["Date"] = format_datetime(datetime.now(UTC))
    mail["Message-ID"] = make_msgid(domain=socket.gethostname())
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(f"{text}\n\nOpsConductor on {socket.gethostname()}\n")
    context = ssl.create_default_context() if settings.EMAIL_USE_SSL or settings.EMAIL_USE_TLS else None
    where = (settings.EMAIL_HOST, settings.EMAIL_PORT)
    server: smtplib.SMTP = (
        smtplib.SMTP_SSL(*where, timeout=TIMEOUT_SECONDS, context=context)
        if settings.EMAIL_USE_SSL
        else smtplib.SMTP(*where, timeout=TIMEOUT_SECONDS)
    )
    with server:
        if settings.EMAIL_USE_TLS:
            server.starttls(context=context)
        if settings.EMAIL_HOST_USER:
            server.login(settings.EMAIL_HOST_USER, settings.EMAIL_HOST_PASSWORD)
        server.send_message(mail)


def post(url: str, subject: str, text: str) -> None:
    """A JSON object: source, host, subject, text, at. Raises OSError, ValueError."""
    body = {
        "source": "opsconductor",
        "host": socket.gethostname(),
        "subject": subject,
        "text": text,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    request = urllib.request.Request(  # noqa: S310 - env.self_alert_to lets http and https through
        url,
        data=json.dumps(body, ensure_ascii=False).encode(),
        headers={"Content-Type": "application/json", "User-Agent": "OpsConductor"},
        method="POST",
    )
    with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310
        answer.read(1)


_one = Outcry()
cry = _one.cry
flush = _one.flush
