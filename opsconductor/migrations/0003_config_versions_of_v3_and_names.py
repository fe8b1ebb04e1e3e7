"""SNMPv3 users, approved engines and imported names are configuration; what an engine was last seen with is not."""

from django.db import migrations

SQL = """
CREATE TRIGGER bump_config AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON connectors_snmpuser
    FOR EACH STATEMENT EXECUTE FUNCTION opsconductor_bump_config('users');
CREATE TRIGGER bump_config AFTER DELETE OR TRUNCATE ON connectors_snmpengine
    FOR EACH STATEMENT EXECUTE FUNCTION opsconductor_bump_config('users');
CREATE TRIGGER bump_config_insert AFTER INSERT ON connectors_snmpengine
    FOR EACH ROW WHEN (NEW.state <> 'seen') EXECUTE FUNCTION opsconductor_bump_config('users');
CREATE TRIGGER bump_config_update AFTER UPDATE OF state, pinned_source, user_id, engine_id ON connectors_snmpengine
    FOR EACH STATEMENT EXECUTE FUNCTION opsconductor_bump_config('users');
CREATE TRIGGER bump_config AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON connectors_mibobject
    FOR EACH STATEMENT EXECUTE FUNCTION opsconductor_bump_config('names');
"""
REVERSE = """
DROP TRIGGER bump_config ON connectors_snmpuser;
DROP TRIGGER bump_config ON connectors_snmpengine;
DROP TRIGGER bump_config_insert ON connectors_snmpengine;
DROP TRIGGER bump_config_update ON connectors_snmpengine;
DROP TRIGGER bump_config ON connectors_mibobject;
"""


class Migration(migrations.Migration):

    dependencies = [
        ("opsconductor", "0002_config_versions"),
        ("connectors", "0003_snmpv3_and_mib_objects"),
    ]

    operations = [migrations.RunSQL(SQL, REVERSE)]
