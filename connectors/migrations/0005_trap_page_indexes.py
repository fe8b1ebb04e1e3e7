"""What the trap page asks the journal: the events from an address, and those about one.

Each index locks writers out while it is built: seconds for a million journalled events. One index holds every event; the
other only those that came through a relay, NAT or a v1 agent address, so ordinary traps pay a comparison for it.
"""

from django.db import migrations, models

CREATE = """
CREATE INDEX rawevent_by_source ON connectors_rawevent (source, received_at DESC);
CREATE INDEX rawevent_by_device ON connectors_rawevent (device_ip, received_at DESC)
    WHERE device_ip IS NOT NULL AND host(device_ip) <> source;
"""
DROP = "DROP INDEX rawevent_by_source; DROP INDEX rawevent_by_device;"


class Migration(migrations.Migration):

    dependencies = [("connectors", "0003_snmpv3_and_mib_objects")]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunSQL(CREATE, DROP)],
            state_operations=[
                migrations.AddIndex(
                    model_name="rawevent",
                    index=models.Index(fields=["source", "-received_at"], name="rawevent_by_source"),
                ),
            ],
        ),
        migrations.AddIndex(
            model_name="ingestcount",
            index=models.Index(fields=["source", "minute"], name="ingestcount_by_source"),
        ),
        migrations.AlterField(
            model_name="connector",
            name="config",
            field=models.JSONField(
                blank=True,
                default=dict,
                help_text='SNMP traps: {"trusted_relays": ["10.0.0.0/8"], "nat_sources": ["203.0.113.0/24"]}. Relays may say for whom they speak; a NAT source stands for one device, whatever agent address its traps carry.',
            ),
        ),
    ]
