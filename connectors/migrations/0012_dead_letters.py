"""Events that could not be applied, newest first; and clears that found nothing to end, by what they would have ended.

Both indexes hold few rows: what is applied as it should be costs a comparison. Made by SQL alone, as parts of a
partitioned table; days made later inherit them.
"""

from django.db import migrations

CREATE = """
CREATE INDEX rawevent_dead_letters ON connectors_rawevent (received_at DESC, id DESC)
    WHERE outcome IN ('failed', 'pending') AND reason <> 'discarded';
CREATE INDEX rawevent_orphan_clears ON connectors_rawevent (fingerprint, received_at DESC)
    WHERE outcome = 'orphan_clear';
"""
DROP = "DROP INDEX rawevent_dead_letters; DROP INDEX rawevent_orphan_clears;"


class Migration(migrations.Migration):

    dependencies = [("connectors", "0010_spool_counts_and_replay")]

    operations = [migrations.RunSQL(CREATE, DROP)]
