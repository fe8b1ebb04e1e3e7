#!/usr/bin/env python
"""Entry of every command; see docs/architecture.md for what each process does."""

import os
import sys

# Commands that need no database; everything else gets the embedded servers when no DATABASE_URL is set.
WITHOUT_DATABASE = {
    "",
    "check",
    "collectstatic",
    "compilemessages",
    "diffsettings",
    "findstatic",
    "help",
    "makemessages",
    "send_event",
    "spectacular",
    "startapp",
    "startproject",
    "up",
    "version",
}


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "opsconductor.settings")
    from opsconductor import env
    from opsconductor.exceptions import OpsConductorError

    command = sys.argv[1] if len(sys.argv) > 1 else ""
    try:
        if command == "up":  # the supervisor stays small: it never loads Django
            from opsconductor import launch

            sys.exit(launch.main(sys.argv[2:]))
        asks_for_help = command.startswith("-") or {"-h", "--help"} & set(sys.argv[2:])
        supervised = os.environ.get("OPSCONDUCTOR_SUPERVISED")
        if not (supervised or asks_for_help or command in WITHOUT_DATABASE or env.secret("DATABASE_URL")):
            from opsconductor import keeper

            keeper.attach(env.var_dir())
        from django.core.management import execute_from_command_line

        execute_from_command_line(sys.argv)
    except OpsConductorError as error:
        if "--traceback" in sys.argv:
            raise
        sys.exit(f"{error}")  # on stderr, exit code 1
    except Exception as error:
        sentence = database_away(error)
        if sentence is None or "--traceback" in sys.argv:
            raise
        sys.exit(sentence)


def database_away(error: Exception) -> str | None:
    """A sentence when the command failed because no database answers, which needs no traceback."""
    from django.db import OperationalError

    # Without an SQL state the server never spoke.
    if not isinstance(error, OperationalError) or getattr(error.__cause__, "sqlstate", None):
        return None
    reason = str(error).strip().splitlines()[0].rstrip(".")
    return f"The database does not answer: {reason}. Check DATABASE_URL and that the server runs."


if __name__ == "__main__":
    main()
