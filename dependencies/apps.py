from typing import Any

from django.apps import AppConfig
from django.db import connection
from django.db.models.signals import pre_delete


class DependenciesConfig(AppConfig):
    name = "dependencies"

    def ready(self) -> None:
        pre_delete.connect(_wait_for_batches, sender="dependencies.CorrelationRule")


def _wait_for_batches(**_: Any) -> None:
    """Deleting a rule takes its name out of alerts, which batches under way may be writing, before the trigger of its
    own table waits for them. Sent inside the transaction of the deletion."""
    from alerts import locks

    with connection.cursor() as cur:
        locks.lock_reach(cur, exclusive=True)
