"""Fixtures every test may use. The database and Valkey come from opsconductor.pytest_embedded."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import setup_databases, teardown_databases

from tests.line import Line

# What events and people write; seeds (groups, connectors, mappings) stay.
WRITTEN = (
    "alerts_alert",
    "alerts_alerthistory",
    "alerts_tombstone",
    "connectors_rawevent",
    "connectors_ingestcount",
    "connectors_informseen",
    "notifications_dispatchercursor",
    "opsconductor_heartbeat",
    "opsconductor_apikey",
    "dependencies_device",
)


@pytest.fixture(scope="session")
def django_db_setup(django_test_environment, django_db_modify_db_settings, django_db_blocker):
    """The test database, also for tests that use `committed_db` and no mark of pytest-django."""
    with django_db_blocker.unblock():
        databases = setup_databases(verbosity=0, interactive=False, aliases={"default"})  # type: ignore[arg-type]
    yield
    with django_db_blocker.unblock():
        teardown_databases(databases, verbosity=0)


@pytest.fixture
def committed_db(django_db_setup, django_db_blocker):
    """A database whose transactions really commit, as two processes see it; cheaper than a flush, which seeds anew."""
    from django.contrib.auth.models import User

    with django_db_blocker.unblock():
        yield
        with connection.cursor() as cur:
            cur.execute(f"TRUNCATE {', '.join(WRITTEN)} RESTART IDENTITY")
        User.objects.all().delete()
        connection.close()


@pytest.fixture
def line(committed_db):
    """The way of an event from the wire into the database, as the listener runs it."""
    line = Line()
    yield line
    line.close()
