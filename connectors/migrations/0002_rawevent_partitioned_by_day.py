"""The journal: a table partitioned by UTC day, which Django can describe but not create."""

import django.db.models.expressions
from django.db import migrations, models

# The key must hold the partition column; a unique (received_at, event_key) is what makes a retried batch count once.
CREATE = """
CREATE SEQUENCE connectors_rawevent_id_seq AS bigint CACHE 1;
CREATE TABLE connectors_rawevent (
    id bigint NOT NULL DEFAULT nextval('connectors_rawevent_id_seq'),
    received_at timestamptz NOT NULL,
    event_key uuid NOT NULL,
    connector_id bigint,
    source varchar(200) NOT NULL,
    source_port integer,
    kind varchar(40) NOT NULL,
    subject varchar(300) NOT NULL,
    device_ip inet,
    datagram bytea,
    data jsonb,
    outcome varchar(15) NOT NULL,
    reason varchar(200) NOT NULL,
    error text NOT NULL,
    alert_id uuid,
    fingerprint varchar(64) NOT NULL,
    CONSTRAINT connectors_rawevent_pkey PRIMARY KEY (id, received_at),
    CONSTRAINT rawevent_one_per_event UNIQUE (received_at, event_key)
) PARTITION BY RANGE (received_at);
ALTER SEQUENCE connectors_rawevent_id_seq OWNED BY connectors_rawevent.id;
CREATE INDEX rawevent_by_alert ON connectors_rawevent (alert_id, received_at DESC) WHERE alert_id IS NOT NULL;
CREATE INDEX rawevent_pending ON connectors_rawevent (received_at, id) WHERE outcome = 'pending';
"""
DROP = "DROP TABLE connectors_rawevent; DROP SEQUENCE IF EXISTS connectors_rawevent_id_seq;"


class Migration(migrations.Migration):

    dependencies = [("connectors", "0001_initial")]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunSQL(CREATE, DROP)],
            state_operations=[
                migrations.CreateModel(
                    name='RawEvent',
                    fields=[
                        ('id', models.BigIntegerField(db_default=django.db.models.expressions.RawSQL("nextval('connectors_rawevent_id_seq')", ()), editable=False, primary_key=True, serialize=False)),
                        ('received_at', models.DateTimeField()),
                        ('event_key', models.UUIDField()),
                        ('connector_id', models.BigIntegerField(null=True)),
                        ('source', models.CharField(help_text='Address it came from.', max_length=200)),
                        ('source_port', models.IntegerField(null=True)),
                        ('kind', models.CharField(help_text='For example snmp v2c trap.', max_length=40)),
                        ('subject', models.CharField(blank=True, help_text="Trap OID or the source's own event type.", max_length=300)),
                        ('device_ip', models.GenericIPAddressField(null=True)),
                        ('datagram', models.BinaryField(null=True)),
                        ('data', models.JSONField(null=True)),
                        ('outcome', models.CharField(choices=[('opened', 'Opened'), ('repeated', 'Repeated'), ('cleared', 'Cleared'), ('reopened', 'Reopened'), ('late', 'Late'), ('orphan_clear', 'Orphan Clear'), ('disabled', 'Disabled'), ('unmapped', 'Unmapped'), ('duplicate', 'Duplicate'), ('rejected', 'Rejected'), ('rate_limited', 'Rate Limited'), ('failed', 'Failed'), ('pending', 'Pending')], max_length=15)),
                        ('reason', models.CharField(blank=True, max_length=200)),
                        ('error', models.TextField(blank=True)),
                        ('alert_id', models.UUIDField(null=True)),
                        ('fingerprint', models.CharField(blank=True, max_length=64)),
                    ],
                    options={
                        'verbose_name': 'raw event',
                        'ordering': ['-received_at', '-id'],
                        'managed': True,
                        'indexes': [models.Index(condition=models.Q(('alert_id__isnull', False)), fields=['alert_id', '-received_at'], name='rawevent_by_alert'), models.Index(condition=models.Q(('outcome', 'pending')), fields=['received_at', 'id'], name='rawevent_pending')],
                    },
                ),
            ],
        ),
    ]
