"""The spool's progress, what sockets received, keys of repeated requests, and runs of a replay."""

import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('connectors', '0007_named_device_index'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='SpoolProgress',
            fields=[
                ('spool', models.UUIDField(primary_key=True, serialize=False)),
                ('position', models.BigIntegerField()),
                ('updated_at', models.DateTimeField(default=django.utils.timezone.now)),
            ],
        ),
        migrations.CreateModel(
            name='IdempotencyKey',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('owner', models.CharField(help_text='Who may not use the key twice: the prefix of the API key.', max_length=60)),
                ('key', models.CharField(max_length=200)),
                ('request_sha256', models.CharField(max_length=64)),
                ('answer', models.JSONField(null=True)),
                ('created_at', models.DateTimeField(db_index=True, default=django.utils.timezone.now)),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('owner', 'key'), name='idempotencykey_one_per_owner')],
            },
        ),
        migrations.CreateModel(
            name='ReplayRun',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('started_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('finished_at', models.DateTimeField(blank=True, null=True)),
                ('dry_run', models.BooleanField()),
                ('selection', models.JSONField(default=dict, help_text='since, until, connector, source, mapping')),
                ('state', models.CharField(choices=[('running', 'Running'), ('done', 'Done'), ('failed', 'Failed')], default='running', max_length=10)),
                ('result', models.JSONField(default=dict, help_text='Counts, and a sample of what changed.')),
                ('error', models.TextField(blank=True, default='')),
                ('started_by', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'ordering': ['-started_at'],
            },
        ),
        migrations.CreateModel(
            name='SocketCount',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('minute', models.DateTimeField()),
                ('instance', models.CharField(help_text='Listener process, as in its heartbeat.', max_length=120)),
                ('address', models.CharField(max_length=120)),
                ('received', models.BigIntegerField(default=0)),
                ('dropped', models.BigIntegerField(default=0)),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('minute', 'instance', 'address'), name='socketcount_one_row')],
            },
        ),
        # Each row is counted up by every batch of its minute: with room on the page that touches no index.
        migrations.RunSQL(
            "ALTER TABLE connectors_ingestcount SET (fillfactor = 50)",
            "ALTER TABLE connectors_ingestcount RESET (fillfactor)",
        ),
    ]
