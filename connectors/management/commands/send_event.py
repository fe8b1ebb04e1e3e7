"""`manage.py send_event`: sends events to a running OpsConductor by HTTP, as any other program would."""

from __future__ import annotations

import json
import logging
import sys
from typing import Any

import httpx
from django.core.management.base import BaseCommand, CommandError, CommandParser

from alerts.choices import Category, Severity
from connectors.events_api import EVENTS_MAX, PATH
from opsconductor import env

DEFAULT_URL = "http://127.0.0.1:8000"
VARIABLE = "OPSCONDUCTOR_API_KEY"
TIMEOUT_SECONDS = 30.0
BYTES_MAX = 900_000  # of a request, below what the server takes

USAGE, REJECTED = 2, 3


class Command(BaseCommand):
    help = (
        "Send events to /api/v1/events/: one made of the options, or those of --file. "
        "Exit code 0: all accepted; 1: not sent or refused; 2: wrong options; 3: some were rejected."
    )
    # They import every page and need a database, which may be far away from where events are sent.
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--url", default=DEFAULT_URL, help=f"where OpsConductor answers (default {DEFAULT_URL})")
        parser.add_argument("--key", default="", help=f"API key; better in {VARIABLE}, where ps does not show it")
        parser.add_argument("--idempotency-key", default="", help="sent again within 24 h it stores nothing twice")
        parser.add_argument("--file", help="events as JSON, an object or a list; - reads standard input")
        parser.add_argument("--json", action="store_true", help="print the answer as it came")
        parser.add_argument("--device-ip", help="address of the device that has the problem")
        parser.add_argument("--alert-type", help="what the problem is, for example disk_full")
        parser.add_argument("--severity", choices=[s.label for s in reversed(Severity)])
        parser.add_argument("--category", choices=Category.values)
        parser.add_argument("--title", help="one line for the board")
        parser.add_argument("--message")
        parser.add_argument("--device-name")
        parser.add_argument("--component", help="part of the device: disk=/var")
        parser.add_argument("--timestamp", help="ISO 8601; without a zone it is UTC")
        parser.add_argument("--source-alert-id")
        parser.add_argument("--clear", action="store_true", dest="is_clear", help="the problem is over")
        parser.add_argument("--tag", action="append", dest="tags", metavar="TAG", help="may be given several times")
        parser.add_argument("--metric", action="append", dest="metrics", metavar="NAME=VALUE", help="likewise")

    def handle(self, *args: Any, **options: Any) -> None:
        logging.getLogger("httpx").setLevel(logging.WARNING)  # a line for each request says nothing more
        key = options["key"] or env.secret(VARIABLE) or ""
        if not key:
            raise CommandError(
                f"No API key. Put one into {VARIABLE}, or give it with --key; an administrator makes it with "
                "manage.py create_api_key USER --scopes events.",
                returncode=USAGE,
            )
        found = from_options(options)
        if options["file"] and found:
            raise CommandError("Give either --file or the fields of one event, not both.", returncode=USAGE)
        events = from_file(options["file"]) if options["file"] else [found]
        if not options["file"] and not {"device_ip", "alert_type"} <= found.keys():
            raise CommandError("An event needs --device-ip and --alert-type; or give --file.", returncode=USAGE)
        results: list[dict[str, Any]] = []
        with client(options["url"], key) as session:
            for number, (start, part) in enumerate(requests_of(events)):
                headers = {}
                if options["idempotency_key"]:
                    headers["Idempotency-Key"] = options["idempotency_key"] + (f"-{number}" if number else "")
                answer = send(session, options["url"], part, headers)
                results += [{**result, "index": start + result["index"]} for result in answer["results"]]
        rejected = sum(result["outcome"] == "rejected" for result in results)
        if options["json"]:
            whole = {"accepted": len(results) - rejected, "rejected": rejected, "results": results}
            self.stdout.write(json.dumps(whole, indent=2))
        else:
            for result in results:
                self.stdout.write(line(result, many=len(results) > 1))
        if rejected:
            raise CommandError(f"{rejected} of {len(results)} events were rejected.", returncode=REJECTED)


def from_options(options: dict[str, Any]) -> dict[str, Any]:
    """The event the options describe; empty when there are none."""
    names = (
        "device_ip", "alert_type", "severity", "category", "title", "message", "device_name", "component", "timestamp",
        "source_alert_id", "tags", "is_clear",
    )  # fmt: skip
    event = {name: options[name] for name in names if options[name]}
    if options["metrics"]:
        event["metrics"] = dict(measured(text) for text in options["metrics"])
    return event


def measured(text: str) -> tuple[str, Any]:
    """load=4.2 as a name and a number, or text where it is none. Raises CommandError."""
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise CommandError(f"--metric {text}: write NAME=VALUE.", returncode=USAGE)
    try:
        found = json.loads(value)
    except ValueError:
        return name, value
    return name, found if isinstance(found, bool | int | float) else value


def from_file(name: str) -> list[Any]:
    """The events of a file, or of standard input. Raises CommandError."""
    try:
        if name == "-":
            text = sys.stdin.read()
        else:
            with open(name, encoding="utf-8") as file:
                text = file.read()
        found = json.loads(text)
    except OSError as error:
        raise CommandError(f"{name} cannot be read: {error.strerror}.", returncode=USAGE) from None
    except ValueError as error:
        raise CommandError(f"{name} is not JSON: {error}.", returncode=USAGE) from None
    if not isinstance(found, dict | list):
        raise CommandError(f"{name} holds neither an event, an object, nor a list of them.", returncode=USAGE)
    return [found] if isinstance(found, dict) else found


def requests_of(events: list[Any]) -> list[tuple[int, list[Any]]]:
    """The events in as few requests as the server takes, each with the place of its first event."""
    parts: list[tuple[int, list[Any]]] = []
    size = 0
    for index, event in enumerate(events):
        octets = len(json.dumps(event).encode())
        if not parts or len(parts[-1][1]) == EVENTS_MAX or size + octets > BYTES_MAX:
            parts.append((index, []))
            size = 0
        parts[-1][1].append(event)
        size += octets + 1
    return parts


def client(url: str, key: str) -> httpx.Client:
    if not key.isascii() or not key.isprintable():
        raise CommandError("This is no API key: one begins with ops_.", returncode=USAGE)
    try:
        return httpx.Client(base_url=url, headers={"Authorization": f"Api-Key {key.strip()}"}, timeout=TIMEOUT_SECONDS)
    except (httpx.InvalidURL, ValueError) as error:
        raise CommandError(f"--url {url}: {error}", returncode=USAGE) from None


def send(session: httpx.Client, url: str, events: list[Any], headers: dict[str, str]) -> dict[str, Any]:
    """The answer to a request. Raises CommandError with the problem in the server's words."""
    try:
        answer = session.post(PATH, json=events, headers=headers)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise CommandError(
            f"{url} does not answer: {str(error) or type(error).__name__}. Is OpsConductor running there, and is --url "
            "right? Nothing is known of the events."
        ) from None
    try:
        body = answer.json()
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise CommandError(f"{url} answered {answer.status_code}, and not as OpsConductor does. Is --url right?")
    if answer.status_code != 202:
        again = f" (Retry-After: {answer.headers['retry-after']} s)" if "retry-after" in answer.headers else ""
        raise CommandError(f"{answer.status_code}: {body.get('detail', answer.reason_phrase)}{again}")
    return body


def line(result: dict[str, Any], *, many: bool) -> str:
    """One event's outcome as a line."""
    place = f"{result['index']}: " if many else ""
    alert = f", alert {result['alert_id']}" if result["alert_id"] else ""
    error = f": {result['error']}" if result["error"] else ""
    return f"{place}{result['outcome']}{alert}{error}"
