"""Edits of what the engine works by: they are noticed within a second, and what decides who hides whom waits for the
batches under way (REACH, exclusive), whoever makes the edit: admin, API, a shell, plain SQL.

Locks: CREATE TRIGGER needs a short exclusive lock on small tables. The UPDATE marks open alerts as told, which they were.
"""

from django.db import migrations

# table -> name of the counter its readers watch
TABLES = {
    "dependencies_dependency": "graph",
    "dependencies_correlationrule": "graph",
    "alerts_maintenancewindow": "windows",
    "alerts_alerttypesetting": "alert_types",
    "connectors_severitymapping": "normalisation",
    "connectors_categorymapping": "normalisation",
    "connectors_alerttypetemplate": "normalisation",
    "connectors_deduplicationrule": "normalisation",
    "connectors_priorityrule": "normalisation",
}
REACHING = ("dependencies_dependency", "dependencies_correlationrule", "alerts_maintenancewindow")

# (8632, 1) is REACH; see alerts/locks.py. Taken before the first row changes, never upgraded.
FUNCTION = """
CREATE FUNCTION alerts_reach_lock() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(8632, 1);
    RETURN NULL;
END $$;
"""


def triggers() -> str:
    return "\n".join(
        f"CREATE TRIGGER bump_config AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON {table} "
        f"FOR EACH STATEMENT EXECUTE FUNCTION opsconductor_bump_config('{name}');"
        for table, name in TABLES.items()
    ) + "\n".join(
        f"CREATE TRIGGER reach BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON {table} "
        "FOR EACH STATEMENT EXECUTE FUNCTION alerts_reach_lock();"
        for table in REACHING
    ) + """
    DROP TRIGGER bump_config_update ON connectors_connector;
    CREATE TRIGGER bump_config_update
    AFTER UPDATE OF name, slug, type, enabled, identity_scope, config, trusted_for_time
    ON connectors_connector FOR EACH STATEMENT EXECUTE FUNCTION opsconductor_bump_config('connectors');
    UPDATE alerts_alert SET announced = true WHERE condition = 'raised';
    """


def no_triggers() -> str:
    return "\n".join(
        [f"DROP TRIGGER bump_config ON {table};" for table in TABLES]
        + [f"DROP TRIGGER reach ON {table};" for table in REACHING]
    ) + """
    DROP TRIGGER bump_config_update ON connectors_connector;
    CREATE TRIGGER bump_config_update AFTER UPDATE OF name, slug, type, enabled, identity_scope, config
    ON connectors_connector FOR EACH STATEMENT EXECUTE FUNCTION opsconductor_bump_config('connectors');
    """


class Migration(migrations.Migration):

    dependencies = [
        ("opsconductor", "0005_engine_settings"),
        ("alerts", "0005_suppressions_and_windows"),
        ("connectors", "0013_normalisation_rows"),
        ("dependencies", "0002_dependencies_and_rules"),
    ]

    operations = [
        migrations.RunSQL(FUNCTION, "DROP FUNCTION alerts_reach_lock();"),
        migrations.RunSQL(triggers(), no_triggers()),
    ]
