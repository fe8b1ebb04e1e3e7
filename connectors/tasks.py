"""What the worker does for connectors; thin."""

from __future__ import annotations

from celery import shared_task

from connectors import replay_runs


@shared_task
def replay(run_id: int) -> None:
    """A replay that was asked for on its page. Its row tells the rest."""
    replay_runs.execute(run_id)
