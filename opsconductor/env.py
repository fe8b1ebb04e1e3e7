"""Reads the environment (and a `.env` file beside manage.py); the environment beats the file.

A wrong value is a `SettingError` whose message names the variable and what to do, and never repeats a secret.
This module imports nothing but the standard library: the supervisor and every command begin with it.
"""

import base64
import binascii
import difflib
import ipaddress
import os
import re
import secrets
import socket
import tempfile
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from opsconductor.exceptions import OpsConductorError

HOST = re.compile(r"\*|\.?[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\]")
BASE_DIR = Path(__file__).resolve().parent.parent

KNOWN = {
    "OPSCONDUCTOR_VAR",  # the directory of keys, embedded servers and logs
    "OPSCONDUCTOR_ADMIN_PASSWORD",
    "OPSCONDUCTOR_ENCRYPTION_KEYS",
    "OPSCONDUCTOR_TRAP_LISTEN",
    "OPSCONDUCTOR_FIXTURES",
    "OPSCONDUCTOR_API_RATE",  # requests a second of a user or API key, and how many at once: 50/1000
    "OPSCONDUCTOR_SELF_ALERT_TO",  # who is told when the database cannot be: mail addresses and URLs
    "OPSCONDUCTOR_ENV_FILE",  # another .env file; empty: none
    "OPSCONDUCTOR_PG_BIN",  # a directory with initdb and postgres instead of the wheel's
    "OPSCONDUCTOR_TEST_PG_BIN",  # the same for the throw-away cluster of the tests
    "OPSCONDUCTOR_PYTHON",  # the Python that bin/ makes .venv with
    "OPSCONDUCTOR_LONG",  # set by bin/test --long
    "OPSCONDUCTOR_TRAP_FDS",  # sockets the supervisor hands to the listener
    "OPSCONDUCTOR_SUPERVISED",  # pid of the supervisor, in its children
    "OPSCONDUCTOR_DEMO",  # set by up --demo, in its children
}
SECRETS = {
    "DATABASE_URL",
    "REDIS_URL",
    "SECRET_KEY",
    "EMAIL_URL",
    "OPSCONDUCTOR_ADMIN_PASSWORD",
    "OPSCONDUCTOR_ENCRYPTION_KEYS",
}
# What of a PostgreSQL URL's query reaches libpq; anything else is a typing error that would pass unnoticed.
LIBPQ_OPTIONS = {
    "application_name",
    "channel_binding",
    "connect_timeout",
    "gssencmode",
    "keepalives",
    "keepalives_count",
    "keepalives_idle",
    "keepalives_interval",
    "options",
    "passfile",
    "require_auth",
    "service",
    "sslcert",
    "sslcrl",
    "sslkey",
    "sslmode",
    "sslpassword",
    "sslrootcert",
    "target_session_attrs",
    "tcp_user_timeout",
}
MAIL_ADDRESS = re.compile(r"[^@\s<>\"]+@[^@\s<>\"]+")
# Scheme of EMAIL_URL -> (port, upgrade to TLS after the greeting, TLS from the first octet).
MAIL_SCHEMES = {"smtp": (25, False, False), "smtp+tls": (587, True, False), "smtps": (465, False, True)}
HIGHEST_REDIS_DB = 13  # three consecutive databases are used, and servers have 16 by default


class SettingError(OpsConductorError):
    """A value from the environment that cannot be used; the message is a sentence for the operator."""


# --- raw values -----------------------------------------------------------------------------------------


def env_file() -> Path | None:
    """The `.env` file that is read; OPSCONDUCTOR_ENV_FILE names another one, or none when it is empty."""
    named = os.environ.get("OPSCONDUCTOR_ENV_FILE")
    if named == "":
        return None
    if named is None:
        return BASE_DIR / ".env"
    path = Path(named).absolute()
    if not path.is_file():
        raise SettingError(f"OPSCONDUCTOR_ENV_FILE={named}: there is no such file.")
    return path


@cache
def _file_values(path: Path) -> dict[str, str]:
    try:
        content = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise SettingError(f"{path} cannot be read: {error}.") from error
    return parse_env_file(content, str(path))


def parse_env_file(content: str, name: str = ".env") -> dict[str, str]:
    """`KEY=VALUE` lines with comments; `export ` may stand in front.

    Single quotes are literal, double quotes know \\n, \\", \\$ and \\\\. Raises SettingError with the number
    of a line that is none of these.
    """
    values = {}
    for number_, line in enumerate(content.splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        key, equals, value = line.removeprefix("export ").partition("=")
        key = key.strip()
        if not equals or not key.replace("_", "a").isalnum() or key[0].isdigit():
            raise SettingError(f"{name}, line {number_}: expected NAME=VALUE.")
        values[key] = _unquote(value.strip(), f"{name}, line {number_}")
    return values


def _unquote(value: str, place: str) -> str:
    if value[:1] not in ("'", '"'):
        return "" if value.startswith("#") else value.split(" #", 1)[0].rstrip()
    mark = value[0]
    result: list[str] = []
    characters = iter(range(1, len(value)))
    for position in characters:
        character = value[position]
        if character == mark:
            rest = value[position + 1 :].strip()
            if rest and not rest.startswith("#"):
                break
            return "".join(result)
        if character == "\\" and mark == '"' and value[position + 1 : position + 2] in ("n", '"', "\\", "$"):
            character = value[next(characters)]
            result.append("\n" if character == "n" else character)
        else:
            result.append(character)
    raise SettingError(f"{place}: the quotes do not match.")


def text(name: str, default: str = "") -> str:
    """The value without surrounding blanks. Set but empty means: not set, whatever the file says."""
    value = os.environ.get(name)
    if value is None:
        path = env_file()
        value = _file_values(path).get(name) if path else None
    return (value or "").strip() or default


def secret(name: str) -> str:
    """The value of NAME, or the content of the file that NAME_FILE names; empty when neither is set."""
    value, file = text(name), text(f"{name}_FILE")
    if not file:
        return value
    if value:
        raise SettingError(f"{name} and {name}_FILE are both set. Keep one of them.")
    try:
        value = Path(file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise SettingError(f"{name}_FILE={file} cannot be read: {reason}.") from error
    if not value:
        raise SettingError(f"{name}_FILE={file}: the file is empty.")
    return value


def flag(name: str, *, default: bool = False) -> bool:
    value = text(name).lower()
    if value in ("1", "true", "yes", "on"):
        return True
    if value in ("0", "false", "no", "off"):
        return False
    if value:
        raise SettingError(f"{name}={value} is neither yes nor no. Use 1 or 0.")
    return default


def number(name: str, *, default: int, minimum: int, maximum: int) -> int:
    value = text(name)
    if not value:
        return default
    try:
        result = int(value)
    except ValueError:
        raise SettingError(f"{name}={value} is not a whole number.") from None
    if not minimum <= result <= maximum:
        raise SettingError(f"{name}={value} is outside {minimum} to {maximum}.")
    return result


def rate(name: str, *, default: tuple[int, int]) -> tuple[int, int]:
    """`50/1000`: so many a second, so many at once."""
    value = text(name)
    if not value:
        return default
    parts = value.split("/")
    if len(parts) != 2 or not all(p.isascii() and p.isdigit() and 0 < int(p) <= 1_000_000 for p in parts):
        raise SettingError(f"{name}={value} is not a rate. Write how many a second and how many at once: 50/1000.")
    return int(parts[0]), int(parts[1])


def words(name: str, *, default: Iterable[str] = ()) -> list[str]:
    """A comma-separated list; blanks around the words and empty words are dropped."""
    return [word for part in text(name).split(",") if (word := part.strip())] or list(default)


def hosts(name: str, *, default: Iterable[str] = ()) -> list[str]:
    """Host names and addresses without scheme or port: `noc.example.net`, `.example.net`, `10.0.0.5`, `[::1]`, `*`."""
    found = words(name, default=default)
    for word in found:
        if not HOST.fullmatch(word):
            raise SettingError(
                f"{name}: “{word}” is not a host. Write names or addresses without http:// and port, "
                "separated by commas: noc.example.net,10.0.0.5,[::1]."
            )
    return found


def choice(name: str, choices: Iterable[str], *, default: str) -> str:
    """One of the choices, in any case; returned as written in `choices`."""
    value = text(name, default)
    for allowed in choices:
        if value.lower() == allowed.lower():
            return allowed
    raise SettingError(f"{name}={value} is not known. Use one of: {', '.join(choices)}.")


def addresses(name: str, *, default: Iterable[tuple[str, int]] = ()) -> list[tuple[str, int]]:
    """`127.0.0.1:1162,[::1]:1162` -> [(ip, port), ...]. No host names: one may mean two sockets or none."""
    return [address(word, name) for word in words(name)] or list(default)


def address(value: str, name: str) -> tuple[str, int]:
    """One `ADDR:PORT`; IPv6 in brackets. `name` is the flag or variable that the error names."""
    host, _, port = value.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    try:
        ip = ipaddress.ip_address(host[1:-1] if bracketed else host)
        if bracketed != (ip.version == 6) or not port.isascii() or not 0 < int(port) < 65536:
            raise ValueError
    except ValueError:
        raise SettingError(
            f"{name}: {value} is not an address and port. "
            "Write 127.0.0.1:1162 or [::1]:1162, several with a comma between."
        ) from None
    return str(ip), int(port)


def unknown() -> list[str]:
    """One sentence for each OPSCONDUCTOR_ variable that nothing reads, with the name that may be meant."""
    path = env_file()
    names = set(os.environ) | set(_file_values(path) if path else ())
    allowed = KNOWN | {f"{name}_FILE" for name in SECRETS}
    return [
        f"{name} is not a known setting and is ignored.{_meant(name, allowed)}"
        for name in sorted(names - allowed)
        if name.startswith("OPSCONDUCTOR_")
    ]


def _meant(word: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(word, known, 1)
    return f" Is {near[0]} meant?" if near else ""


# --- the var directory and what is generated in it ------------------------------------------------------


def var_dir(base: Path = BASE_DIR) -> Path:
    """OPSCONDUCTOR_VAR as an absolute path; default `base`/var. Not created here.

    A relative path counts from the working directory, one from the .env file from `base`.
    """
    value = text("OPSCONDUCTOR_VAR", "var")
    start = Path.cwd() if os.environ.get("OPSCONDUCTOR_VAR") else base
    path = (start / Path(value).expanduser()).resolve()
    if path.exists() and not path.is_dir():
        raise SettingError(f"OPSCONDUCTOR_VAR={value} is not a directory.")
    return path


def make_var_dir(path: Path) -> Path:
    """Creates the directory when it is missing. Raises SettingError when that or writing there is refused."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingError(
            f"OPSCONDUCTOR_VAR={path} cannot be created: {error.strerror}. Choose another directory."
        ) from error
    if not os.access(path, os.W_OK | os.X_OK):
        raise SettingError(f"OPSCONDUCTOR_VAR={path} is not writable for this user. Change its owner.")
    return path


def secret_key(var: Path) -> str:
    """SECRET_KEY, or the one generated once in the var directory."""
    return secret("SECRET_KEY") or _kept(var / "secret_key", secrets.token_urlsafe(50))


def encryption_keys(var: Path) -> list[str]:
    """Fernet keys, the first encrypts. OPSCONDUCTOR_ENCRYPTION_KEYS, or var/encryption_keys (one a line)."""
    value = secret("OPSCONDUCTOR_ENCRYPTION_KEYS")
    source = "OPSCONDUCTOR_ENCRYPTION_KEYS"
    if not value:
        source = str(var / "encryption_keys")
        value = _kept(var / "encryption_keys", base64.urlsafe_b64encode(os.urandom(32)).decode())
    keys = value.replace(",", " ").split()
    for position, key in enumerate(keys, 1):
        try:
            right = len(base64.b64decode(key, altchars=b"-_", validate=True)) == 32
        except (binascii.Error, ValueError):
            right = False
        if not right:
            raise SettingError(
                f"{source}: key {position} is not a Fernet key (32 bytes in URL-safe base64). "
                "Make one with: openssl rand -base64 32 | tr '+/' '-_'"
            )
    return keys


def _kept(path: Path, fresh: str) -> str:
    """The content of the file, which receives `fresh` when it does not exist. Mode 0600.

    Processes that start together must agree: the file is written under another name and linked, so whoever
    comes second reads the complete value of the first.
    """
    try:
        value = path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        make_var_dir(path.parent)
        value = _create(path, fresh)
    except (OSError, UnicodeDecodeError) as error:
        raise SettingError(f"{path} cannot be read: {error}.") from error
    if not value:
        raise SettingError(f"{path} is empty. Restore it from a backup; without it stored secrets are lost.")
    return value


def _create(path: Path, fresh: str) -> str:
    try:
        descriptor, draft = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # mode 0600
        try:
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                file.write(fresh + "\n")
                file.flush()
                os.fsync(file.fileno())
            os.link(draft, path)
        finally:
            os.unlink(draft)
    except FileExistsError:
        return path.read_text(encoding="ascii").strip()
    except OSError as error:
        raise SettingError(f"{path} cannot be written: {error.strerror}.") from error
    return fresh


# --- servers --------------------------------------------------------------------------------------------


def database(*, default: str) -> dict[str, Any]:
    """DATABASE_URL as Django's DATABASES entry: ENGINE, NAME, USER, PASSWORD, HOST, PORT, OPTIONS.

    `postgresql://user:password@host:port/name?sslmode=require`, or `?host=/directory` for a Unix socket.
    """
    url = secret("DATABASE_URL") or default
    advice = "Write postgresql://user:password@host:5432/name."
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise SettingError(f"DATABASE_URL is not a URL. {advice}") from None
    if parts.scheme not in ("postgresql", "postgres"):
        scheme = parts.scheme or "no scheme"
        raise SettingError(f"DATABASE_URL begins with {scheme}: OpsConductor needs PostgreSQL. {advice}")
    options = dict(parse_qsl(parts.query))
    result = {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": options.pop("dbname", "") or unquote(parts.path.lstrip("/")),
        "USER": options.pop("user", "") or unquote(parts.username or ""),
        "PASSWORD": options.pop("password", "") or unquote(parts.password or ""),
        "HOST": options.pop("host", "") or unquote(parts.hostname or ""),
        "PORT": options.pop("port", "") or str(port or ""),
        "OPTIONS": options,
    }
    if not result["NAME"]:
        raise SettingError(f"DATABASE_URL names no database. {advice}")
    for option in options:
        if option not in LIBPQ_OPTIONS:
            raise SettingError(f"DATABASE_URL: unknown option {option}.{_meant(option, LIBPQ_OPTIONS)}")
    return result


def redis(*, default: str) -> str:
    """REDIS_URL: redis://host:6379/0, rediss:// for TLS, or unix:///path/to.sock?db=0 (Redis or Valkey)."""
    url = secret("REDIS_URL") or default
    advice = "Write redis://host:6379/0, rediss://host:6379/0 or unix:///path/to.sock?db=0."
    try:
        parts = urlsplit(url)
        right = parts.scheme in ("redis", "rediss", "unix") and (parts.port or 1) > 0
        right = right and bool(parts.path.strip("/") if parts.scheme == "unix" else parts.hostname)
        db = _redis_db(url) if right else 0
    except ValueError:
        right, db = False, 0
    if not right:
        raise SettingError(f"REDIS_URL is not the URL of a Redis or Valkey server. {advice}")
    if not 0 <= db <= HIGHEST_REDIS_DB:
        raise SettingError(
            f"REDIS_URL: database {db} leaves no room for the two after it. Use 0 to {HIGHEST_REDIS_DB}."
        )
    return url


def _redis_db(url: str) -> int:
    parts = urlsplit(url)
    path = "" if parts.scheme == "unix" else parts.path.strip("/")
    return int(dict(parse_qsl(parts.query)).get("db", "") or path or 0)


def redis_db(url: str, offset: int) -> str:
    """The same server, `offset` databases after the one of the URL."""
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query))
    db = str(_redis_db(url) + offset)
    if parts.scheme == "unix":  # geturl() would drop the empty host and its slashes
        return f"unix://{parts.netloc}{parts.path}?{urlencode(query | {'db': db}, safe='/')}"
    query.pop("db", None)
    return parts._replace(path=f"/{db}", query=urlencode(query, safe="/")).geturl()


def email() -> dict[str, Any]:
    """EMAIL_URL as Django's EMAIL_ settings; empty when it is not set.

    `smtp://host`, `smtp+tls://user:password@host:587` (STARTTLS), `smtps://user:password@host:465`; `?from=` is the
    sender's address.
    """
    url = secret("EMAIL_URL")
    if not url:
        return {}
    advice = "Write smtp+tls://user:password@host:587?from=noc@example.net; also smtp:// and smtps://."
    try:
        parts = urlsplit(url)
        right = parts.scheme in MAIL_SCHEMES and bool(parts.hostname) and parts.port != 0
    except ValueError:
        right = False
    if not right or parts.path.strip("/"):
        raise SettingError(f"EMAIL_URL is not the URL of a mail server. {advice}")
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    sender = options.pop("from", "")
    for option in options:
        raise SettingError(f"EMAIL_URL: unknown option {option}. {advice}")
    if sender and not MAIL_ADDRESS.fullmatch(sender):
        raise SettingError(f"EMAIL_URL: from={sender} is not a mail address. {advice}")
    port, upgrade, encrypted = MAIL_SCHEMES[parts.scheme]
    return {
        "EMAIL_HOST": parts.hostname,
        "EMAIL_PORT": parts.port or port,
        "EMAIL_HOST_USER": unquote(parts.username or ""),
        "EMAIL_HOST_PASSWORD": unquote(parts.password or ""),
        "EMAIL_USE_TLS": upgrade,
        "EMAIL_USE_SSL": encrypted,
        "DEFAULT_FROM_EMAIL": sender or f"opsconductor@{socket.gethostname()}",
    }


def self_alert_to() -> list[str]:
    """OPSCONDUCTOR_SELF_ALERT_TO: mail addresses and http(s) URLs, separated by commas."""
    name = "OPSCONDUCTOR_SELF_ALERT_TO"
    found = words(name)
    for position, word in enumerate(found, 1):
        if word.startswith(("http://", "https://")):
            try:
                right = bool(urlsplit(word).hostname) and urlsplit(word).port != 0
            except ValueError:
                right = False
            if not right:
                raise SettingError(f"{name}: entry {position} begins like a URL and is none. Write https://host/path.")
        elif not MAIL_ADDRESS.fullmatch(word):
            raise SettingError(
                f"{name}: “{word}” is neither a mail address nor a URL. Write noc@example.net,https://host/path."
            )
        elif not secret("EMAIL_URL"):
            raise SettingError(f"{name} names {word}, but EMAIL_URL is not set: no mail can be sent.")
    return found


def celery_broker(url: str) -> str:
    """The URL as kombu spells it: redis+socket:///path?virtual_host=0 for a socket, TLS with verification."""
    parts = urlsplit(url)
    if parts.scheme == "unix":
        return f"redis+socket://{parts.netloc}{quote(unquote(parts.path))}?virtual_host={_redis_db(url)}"
    url = redis_db(url, 0)
    if parts.scheme == "rediss" and "ssl_cert_reqs" not in parts.query:
        url += ("&" if urlsplit(url).query else "?") + "ssl_cert_reqs=required"
    return url
