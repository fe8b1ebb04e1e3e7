"""Fixtures of the engine's tests: virtual time, and a world without any rule but theirs."""

from __future__ import annotations

import pytest

from dependencies.models import CorrelationRule
from opsconductor.models import SystemSettings
from tests.alerts.lab import Lab


@pytest.fixture
def lab(line, monkeypatch):
    """The engine in virtual time; shipped correlation rules and settings are put aside meanwhile."""
    rules = list(CorrelationRule.objects.all())
    CorrelationRule.objects.all().delete()
    lab = Lab(line)
    monkeypatch.setattr("django.utils.timezone.now", lab.now)
    yield lab
    lab.close()
    CorrelationRule.objects.all().delete()
    CorrelationRule.objects.bulk_create(rules)
    SystemSettings.objects.all().delete()
