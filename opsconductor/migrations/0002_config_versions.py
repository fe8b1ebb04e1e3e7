"""Every change of a configuration table bumps its counter, whoever makes it: admin, API, a shell, plain SQL."""

from django.db import migrations

FUNCTION = """
CREATE FUNCTION opsconductor_bump_config() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO opsconductor_configversion AS c (name, version) VALUES (TG_ARGV[0], 1)
    ON CONFLICT (name) DO UPDATE SET version = c.version + 1;
    RETURN NULL;
END $$;
"""

# table -> name of the counter its readers watch
TABLES = {
    "connectors_oidmapping": "mappings",
    "connectors_snmpcredential": "communities",
    "dependencies_device": "devices",
}


def triggers() -> str:
    return "\n".join(
        f"CREATE TRIGGER bump_config AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON {table} "
        f"FOR EACH STATEMENT EXECUTE FUNCTION opsconductor_bump_config('{name}');"
        for table, name in TABLES.items()
    ) + (
        # Counters of a connector change with every batch; only what an engineer edits is configuration.
        "CREATE TRIGGER bump_config AFTER INSERT OR DELETE OR TRUNCATE ON connectors_connector "
        "FOR EACH STATEMENT EXECUTE FUNCTION opsconductor_bump_config('connectors');"
        "CREATE TRIGGER bump_config_update AFTER UPDATE OF name, slug, type, enabled, identity_scope, config "
        "ON connectors_connector FOR EACH STATEMENT EXECUTE FUNCTION opsconductor_bump_config('connectors');"
    )


def no_triggers() -> str:
    drops = [f"DROP TRIGGER bump_config ON {table};" for table in [*TABLES, "connectors_connector"]]
    return "\n".join([*drops, "DROP TRIGGER bump_config_update ON connectors_connector;"])


class Migration(migrations.Migration):

    dependencies = [
        ("opsconductor", "0001_initial"),
        ("connectors", "0002_rawevent_partitioned_by_day"),
        ("dependencies", "0001_initial"),
    ]

    operations = [
        migrations.RunSQL(FUNCTION, "DROP FUNCTION opsconductor_bump_config();"),
        migrations.RunSQL(triggers(), no_triggers()),
    ]
