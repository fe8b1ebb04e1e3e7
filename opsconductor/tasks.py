"""Periodic work of every installation; thin, and scheduled by rows (seeds._schedules)."""

from __future__ import annotations

from celery import shared_task

from opsconductor import heartbeat, seeds


@shared_task
def sign_of_life() -> None:
    """Sent by beat, run by a worker: that it ran proves both."""
    heartbeat.beat("worker")
    heartbeat.beat("beat", instance="schedule")


@shared_task
def make_partitions() -> None:
    seeds.make_partitions()
