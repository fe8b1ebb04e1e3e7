"""The rows of normalisation, from the database into `Normalisation`: six queries, however many rows there are."""

from __future__ import annotations

import logging
from collections.abc import Iterator

from connectors.mapping_checks import check_title
from connectors.normalisation import DeduplicationRow, Normalisation, PriorityRow, ValueRow, wrong_fields

log = logging.getLogger(__name__)


def load() -> Normalisation:
    """A row that cannot be used (written past the checks of its model) is left out and said."""
    from alerts.models import AlertTypeSetting
    from connectors.models import CategoryMapping, PriorityRule, SeverityMapping

    columns = ("connector_type", "source_field", "source_value")
    severities = SeverityMapping.objects.order_by("id").values_list(*columns, "target_severity", "enabled", "id")
    categories = CategoryMapping.objects.order_by("id").values_list(*columns, "target_category", "enabled", "id")
    priorities = PriorityRule.objects.filter(enabled=True).order_by("-id")  # of two alike the older one is used
    ttls = AlertTypeSetting.objects.filter(enabled=True).order_by("id")
    return Normalisation(
        severities=[ValueRow(*row) for row in severities],
        categories=[ValueRow(*row) for row in categories],
        titles=_titles(),
        identities=_identities(),
        priorities=[
            PriorityRow(*row)
            for row in priorities.values_list("connector_type", "category", "severity", "impact", "urgency", "priority")
        ],
        ttls=_ttls(list(ttls.values_list("connector_type", "alert_type", "ttl_minutes"))),
    )


def _titles() -> Iterator[tuple[str, str, str]]:
    from connectors.models import AlertTypeTemplate

    rows = AlertTypeTemplate.objects.filter(enabled=True).order_by("id")
    for pk, kind, pattern, template in rows.values_list("id", "connector_type", "pattern", "template"):
        problem = check_title(template)
        if problem:
            log.error("Title template %s (%s) is not used: %s", pk, pattern, problem)
        else:
            yield kind, pattern, template


def _identities() -> Iterator[DeduplicationRow]:
    from connectors.models import DeduplicationRule

    for rule in DeduplicationRule.objects.order_by("id"):
        problem = wrong_fields(rule.fingerprint_fields)
        if problem:
            log.error("Deduplication rule of %s is not used: %s", rule.connector_type, problem)
            continue
        former = [
            fields for fields in rule.former_fields or [] if isinstance(fields, list) and not wrong_fields(fields)
        ]
        yield DeduplicationRow(rule.connector_type, rule.fingerprint_fields, former, rule.enabled)


def _ttls(rows: list[tuple[str, str, int | None]]) -> list[tuple[str, str, int | None]]:
    """None where no setting says one, so that events of everybody else need not look."""
    return rows if any(ttl is not None for _, _, ttl in rows) else []
