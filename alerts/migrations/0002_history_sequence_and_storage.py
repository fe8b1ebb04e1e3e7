"""What Django cannot say: history ids in commit order, and room in alert pages for updates in place.

Locks: CREATE TRIGGER and ALTER TABLE SET need a short exclusive lock on tables that are empty at this point.
"""

from django.db import migrations

# Two-int advisory locks: (8632, 1) REACH, (8632, 2) the history sequence; see alerts/locks.py.
SEQUENCE = """
CREATE FUNCTION alerts_history_sequence_lock() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- Held to the end of the transaction: ids drawn after it become visible in the order they were drawn.
    PERFORM pg_advisory_xact_lock(8632, 2);
    RETURN NULL;
END $$;
CREATE TRIGGER alerts_history_sequence BEFORE INSERT ON alerts_alerthistory
    FOR EACH STATEMENT EXECUTE FUNCTION alerts_history_sequence_lock();
"""
NO_SEQUENCE = """
DROP TRIGGER alerts_history_sequence ON alerts_alerthistory;
DROP FUNCTION alerts_history_sequence_lock();
"""

# Repeats update counters only; with room on the page they are HOT updates and touch no index.
STORAGE = "ALTER TABLE alerts_alert SET (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);"
NO_STORAGE = "ALTER TABLE alerts_alert RESET (fillfactor, autovacuum_vacuum_scale_factor);"


class Migration(migrations.Migration):

    dependencies = [("alerts", "0001_initial")]

    operations = [
        migrations.RunSQL(SEQUENCE, NO_SEQUENCE),
        migrations.RunSQL(STORAGE, NO_STORAGE),
    ]
