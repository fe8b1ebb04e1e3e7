"""Fixtures every test may use. The database and Valkey come from opsconductor.pytest_embedded."""

from __future__ import annotations

import time

import pytest
from django.db import IntegrityError, OperationalError, connection, connections, transaction
from django.test.utils import setup_databases

from tests import patience
from tests.line import Line

patience.widen()

# What events and people write; seeds (groups, connectors, mappings) stay.
WRITTEN = (
    "alerts_alert",
    "alerts_alerthistory",
    "alerts_tombstone",
    "alerts_suppression",
    "alerts_evaluation",
    "alerts_verificationrequest",
    "alerts_maintenancewindow",
    "alerts_alerttypesetting",
    "alerts_boardpreferences",
    "alerts_undo",
    "alerts_undopart",
    "connectors_rawevent",
    "connectors_ingestcount",
    "connectors_receivedcount",
    "connectors_listening",
    "connectors_seenvalue",
    "connectors_informseen",
    "connectors_spoolprogress",
    "connectors_socketcount",
    "connectors_idempotencykey",
    "connectors_replayrun",
    "connectors_mibobject",
    "connectors_alerttypetemplate",
    "connectors_deduplicationrule",
    "connectors_priorityrule",
    "notifications_dispatchercursor",
    "opsconductor_heartbeat",
    "opsconductor_apikey",
    "opsconductor_walllink",
    "dependencies_device",
    "dependencies_dependency",
)
# What a dispatcher or a poll counted for a connector.
COUNTED = """
UPDATE connectors_connector SET alerts_received = 0, alerts_today = 0, counted_on = NULL, last_success_at = NULL,
    status = 'unknown' WHERE counted_on IS NOT NULL"""


@pytest.fixture(autouse=True)
def full_buckets():
    """What earlier tests asked of the API is not counted against this one."""
    from opsconductor.throttles import buckets

    buckets.forget()


@pytest.fixture(scope="session")
def django_db_setup(django_test_environment, django_db_modify_db_settings, django_db_blocker):
    """The test database, also for tests that use `committed_db` and no mark of pytest-django."""
    with django_db_blocker.unblock():
        setup_databases(verbosity=0, interactive=False, aliases={"default"})  # type: ignore[arg-type]
    yield
    # It is thrown away with its server. To drop it would fail when a thread or a server still leaves it.
    with django_db_blocker.unblock():
        connections.close_all()


@pytest.fixture
def committed_db(request, django_db_setup, django_db_blocker):
    """A database whose transactions really commit, as two processes see it; cheaper than a flush, which seeds anew."""
    # A web server that lives longer than one test may not yet have noticed that the last one's sockets are gone: then
    # it goes on from where it was, and ids that begin anew would be old news to it.
    ids = "CONTINUE IDENTITY" if "server" in request.fixturenames else "RESTART IDENTITY"
    with django_db_blocker.unblock():
        yield
        _empty(ids)
        connection.close()


def _empty(ids: str) -> None:
    """Again, when a server or a thread that is about to end was in the way: a deadlock, a row that came meanwhile."""
    from django.contrib.auth.models import User

    from alerts.models import SavedView

    for attempt in range(10):
        try:
            with transaction.atomic(), connection.cursor() as cur:
                cur.execute(f"TRUNCATE {', '.join(WRITTEN)} {ids}")
                cur.execute(COUNTED)
            SavedView.objects.exclude(owner=None).delete()
            User.objects.all().delete()
            return
        except (OperationalError, IntegrityError):
            if attempt == 9:
                raise
            time.sleep(0.1 * 2**attempt)


@pytest.fixture
def line(committed_db):
    """The way of an event from the wire into the database, as the listener runs it."""
    line = Line()
    yield line
    line.close()
