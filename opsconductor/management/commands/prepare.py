"""What `up` does before it starts the processes; other installations run it once per release."""

import secrets
from typing import Any

import psycopg
import redis
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandParser
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder

from opsconductor import env
from opsconductor.embedded import StartError

OLDEST_POSTGRESQL = 15
CONNECT_SECONDS = 15
POOL_SECONDS = 60  # nobody waits for a page: a machine that is slow to start gets the time it needs
LOCK = 0x6F70735F  # advisory: two hosts that start together migrate one after the other


class Command(BaseCommand):
    help = "Checks the servers, migrates, seeds and, the first time, creates the user admin."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--demo", action="store_true", help="and make the demo network")

    def handle(self, *args: Any, **options: Any) -> None:
        check_redis()
        connection.settings_dict["OPTIONS"]["pool"].update(timeout=POOL_SECONDS)
        with check_database() as guard:
            guard.execute("SELECT pg_advisory_lock(%s)", [LOCK])
            self.migrate()
            self.create_admin()
            if options["demo"]:
                call_command("seed_demo", stdout=self.stdout)

    def migrate(self) -> None:
        """Always the whole command: its end keeps seed rows, permissions and partitions up to date."""
        recorder = MigrationRecorder(connection)
        before = len(recorder.applied_migrations())
        if before == 0:
            self.stdout.write("Creating the database ...")
        call_command("migrate", verbosity=0, interactive=False)
        applied = len(recorder.applied_migrations()) - before
        if before and applied:
            self.stdout.write(f"Applied {applied} migrations.")

    def create_admin(self) -> None:
        users = get_user_model().objects
        if users.filter(is_superuser=True).exists():
            return
        password = env.secret("OPSCONDUCTOR_ADMIN_PASSWORD")
        users.create_superuser("admin", password=password or (password := secrets.token_urlsafe(12)))
        if env.secret("OPSCONDUCTOR_ADMIN_PASSWORD"):
            self.stdout.write("Created the user admin with the password from OPSCONDUCTOR_ADMIN_PASSWORD.")
        else:
            self.stdout.write(f"Created the user admin with the password {password} (shown only this once).")


def check_database() -> psycopg.Connection[Any]:
    """A connection of its own to the database. Raises StartError when it is away, too old or not UTF-8."""
    database = settings.DATABASES["default"]
    place = "DATABASE_URL" if env.secret("DATABASE_URL") else "The embedded PostgreSQL"
    parameters = {name: value for name, value in database["OPTIONS"].items() if name != "pool"}
    for name in ("NAME", "USER", "PASSWORD", "HOST", "PORT"):
        if database[name]:
            parameters["dbname" if name == "NAME" else name.lower()] = database[name]
    if parameters.get("connect_timeout") == settings.PEER["connect_timeout"]:  # DATABASE_URL does not say otherwise
        parameters["connect_timeout"] = CONNECT_SECONDS
    try:
        session = psycopg.connect(**parameters, autocommit=True)
    except psycopg.Error as error:
        # The first real reason; libpq adds questions and repeats it for every address of a name.
        lines = [line.strip(" -") for line in str(error).splitlines() if "failed:" in line] or [str(error)]
        raise StartError(f"{place}: {lines[0]}. Check that the server runs, and address and password.") from error
    version = session.info.server_version // 10000
    if version < OLDEST_POSTGRESQL:
        session.close()
        raise StartError(
            f"{place}: the server is PostgreSQL {version}; OpsConductor needs {OLDEST_POSTGRESQL} or newer."
        )
    encoding = session.info.parameter_status("server_encoding")
    if encoding != "UTF8":
        session.close()
        raise StartError(f"{place}: the database is encoded in {encoding}; OpsConductor needs UTF8.")
    return session


def check_redis() -> None:
    """Raises StartError when REDIS_URL is set and nobody answers there."""
    if not env.secret("REDIS_URL"):
        return
    try:
        with redis.Redis.from_url(settings.REDIS_URL, socket_connect_timeout=CONNECT_SECONDS) as client:
            client.ping()
    except (redis.RedisError, OSError) as error:
        reason = str(error).rstrip(".")
        raise StartError(f"REDIS_URL: {reason}. Check that the server runs, and address and password.") from error
