"""However a sequence of events is cut into batches, it ends in the same rows, and the account balances."""

from __future__ import annotations

import itertools
import os

import pytest
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alerts.models import Alert, AlertHistory
from connectors.models import RawEvent
from tests.conftest import WRITTEN
from tests.line import assert_account_balances

pytestmark = pytest.mark.anypg

EXAMPLES = 2_000 if os.environ.get("OPSCONDUCTOR_LONG") else 60

# Times reach across the reopen window (300 s) in both directions; two problems, and a clear that ends both.
EVENT = st.tuples(
    st.sampled_from(["raise a", "raise b", "clear a", "clear b", "clear both"]),
    st.sampled_from([0, 1, 2, 10, 290, 310, 400, 900]),
    st.sampled_from([2, 3, 5]),
)
COLUMNS = (
    "alert_type", "condition", "status", "severity", "peak_severity", "opening", "transitions", "occurrence_count",
    "occurred_at", "last_raise_at", "last_clear_at", "last_occurrence_at", "resolved_at", "is_clear", "title",
)  # fmt: skip


def items(line, script, device):
    made = []
    for number, (what, t, severity) in enumerate(script):
        word, target = what.split()
        clear = word == "clear"
        made.append(
            line.event(
                f"problem_{target}" if not clear else f"{target}_cleared",
                after=number / 100,
                t=t,
                is_clear=clear,
                clears=(("problem_a", "problem_b") if target == "both" else (f"problem_{target}",)) if clear else (),
                severity=0 if clear else severity,
                title="" if clear else f"severity {severity}",
                device_key=device,
                device_ip=device,
            )
        )
    return made


@given(script=st.lists(EVENT, min_size=1, max_size=12), cuts=st.sets(st.integers(1, 11), max_size=4))
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_batches_do_not_show(line, script, cuts):
    with connection.cursor() as cur:
        cur.execute(f"TRUNCATE {', '.join(WRITTEN)} RESTART IDENTITY")
    together, alone = items(line, script, "127.0.0.1"), items(line, script, "127.0.0.2")
    bounds = [0, *sorted(c for c in cuts if c < len(script)), len(script)]

    for start, end in itertools.pairwise(bounds):
        line.store(*together[start:end])
    for item in alone:
        line.store(item)

    assert [i.outcome for i in together] == [i.outcome for i in alone]

    def rows(device):
        return sorted(map(repr, Alert.objects.filter(device_ip=device).values_list(*COLUMNS)))

    assert rows("127.0.0.1") == rows("127.0.0.2")
    assert_account_balances(2 * len(script))
    known = set(Alert.objects.values_list("pk", flat=True))
    assert set(AlertHistory.objects.values_list("alert_id", flat=True)) <= known
    assert set(RawEvent.objects.exclude(alert_id=None).values_list("alert_id", flat=True)) <= known
    raised = Alert.objects.filter(condition="raised").values_list("fingerprint", flat=True)
    assert len(raised) == len(set(raised))
