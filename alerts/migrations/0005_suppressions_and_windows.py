"""Why alerts are quiet: suppressions, maintenance windows, and how alert types are treated.

Locks: new columns have database defaults, so nothing is rewritten; the new index reads the open alerts once.
"""

import django.contrib.postgres.fields
import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('alerts', '0004_room_for_updates'),
        ('connectors', '0013_normalisation_rows'),
        ('dependencies', '0002_dependencies_and_rules'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='AlertTypeSetting',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('connector_type', models.CharField(blank=True, default='', help_text='Empty: any.', max_length=60)),
                ('alert_type', models.CharField(help_text='link_down, or a beginning: link_*', max_length=200)),
                ('reopen_window_seconds', models.PositiveIntegerField(blank=True, null=True)),
                ('hold_seconds', models.PositiveIntegerField(blank=True, help_text='How long an alert waits for a parent to explain it before it is told.', null=True)),
                ('flap_transitions', models.PositiveIntegerField(blank=True, help_text='0: never flapping.', null=True)),
                ('flap_window_minutes', models.PositiveIntegerField(blank=True, null=True)),
                ('flap_calm_minutes', models.PositiveIntegerField(blank=True, null=True)),
                ('storm_alerts', models.PositiveIntegerField(blank=True, help_text="New alerts within the storm's time beyond which they are quiet. Empty: never.", null=True)),
                ('storm_seconds', models.PositiveIntegerField(default=60)),
                ('ttl_minutes', models.PositiveIntegerField(blank=True, help_text='Stateless: expires after so long. Empty: as the mapping says.', null=True)),
                ('runbook_url', models.URLField(blank=True, default='', max_length=500)),
                ('notes', models.TextField(blank=True, default='')),
                ('enabled', models.BooleanField(default=True)),
            ],
            options={
                'ordering': ['alert_type', 'connector_type'],
            },
        ),
        migrations.CreateModel(
            name='MaintenanceWindow',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('kind', models.CharField(choices=[('maintenance', 'Maintenance'), ('silence', 'Silence')], default='maintenance', max_length=12)),
                ('name', models.CharField(max_length=200)),
                ('reason', models.TextField(blank=True, default='')),
                ('matchers', models.JSONField(blank=True, default=dict)),
                ('starts_at', models.DateTimeField(help_text='Of the first occurrence.')),
                ('ends_at', models.DateTimeField(blank=True, help_text='Of the first occurrence. Empty: until cleared.', null=True)),
                ('rrule', models.CharField(blank=True, default='', help_text='RFC 5545: FREQ=WEEKLY;BYDAY=SU', max_length=500, verbose_name='recurrence')),
                ('time_zone', models.CharField(default='UTC', help_text='IANA name, for example Europe/Berlin.', max_length=60)),
                ('enabled', models.BooleanField(default=True)),
                ('closed_at', models.DateTimeField(blank=True, help_text='Ended by a person before its time.', null=True)),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ('updated_at', models.DateTimeField(auto_now=True)),
            ],
            options={
                'ordering': ['-starts_at'],
            },
        ),
        migrations.CreateModel(
            name='Suppression',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('kind', models.CharField(choices=[('dependency', 'Dependency'), ('maintenance', 'Maintenance'), ('silence', 'Silence'), ('flapping', 'Flapping'), ('storm', 'Storm'), ('hold', 'Hold'), ('releasing', 'Releasing')], max_length=12)),
                ('started_at', models.DateTimeField()),
                ('until', models.DateTimeField(null=True)),
                ('ended_at', models.DateTimeField(null=True)),
                ('ended_because', models.CharField(blank=True, default='', help_text='In words an operator reads.', max_length=200)),
                ('listed_at', models.DateTimeField(help_text='Said in the digest of its window.', null=True)),
            ],
        ),
        migrations.AddField(
            model_name='alert',
            name='announced',
            field=models.BooleanField(db_default=False, help_text='A problem was told, and no recovery since; a recovery is told only then.'),
        ),
        migrations.AddField(
            model_name='alert',
            name='correlation_rule',
            field=models.ForeignKey(db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='dependencies.correlationrule'),
        ),
        migrations.AddField(
            model_name='alert',
            name='missed_snapshots',
            field=models.SmallIntegerField(db_default=0, help_text='Complete snapshots in a row that did not report it.'),
        ),
        migrations.AddField(
            model_name='alert',
            name='outage',
            field=models.BooleanField(db_default=False, help_text='A correlation rule takes its device for dead.'),
        ),
        migrations.AddField(
            model_name='alert',
            name='quiet',
            field=models.SmallIntegerField(db_default=0, help_text='Bits of choices.QUIET_BIT in force.'),
        ),
        migrations.AddField(
            model_name='alert',
            name='transition_times',
            field=django.contrib.postgres.fields.ArrayField(base_field=models.DateTimeField(), blank=True, db_default=models.Value([]), default=list, help_text='The last ones, oldest first.', size=None),
        ),
        migrations.AlterField(
            model_name='alerthistory',
            name='action',
            field=models.CharField(choices=[('opened', 'Opened'), ('reopened', 'Reopened'), ('severity_changed', 'Severity Changed'), ('cleared', 'Cleared'), ('expired', 'Expired'), ('acknowledged', 'Acknowledged'), ('unacknowledged', 'Unacknowledged'), ('resolved', 'Resolved'), ('note', 'Note'), ('suppressed', 'Suppressed'), ('released', 'Released'), ('announced', 'Announced'), ('flapping', 'Flapping'), ('calmed', 'Calmed'), ('listed', 'Listed'), ('assigned', 'Assigned')], max_length=20),
        ),
        migrations.AddIndex(
            model_name='alert',
            index=models.Index(condition=models.Q(('condition', 'raised'), ('outage', True)), fields=['device_ip'], name='alert_open_outage'),
        ),
        migrations.AddConstraint(
            model_name='alerttypesetting',
            constraint=models.UniqueConstraint(fields=('connector_type', 'alert_type'), name='alerttypesetting_one_per_pattern'),
        ),
        migrations.AddField(
            model_name='maintenancewindow',
            name='created_by',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='suppression',
            name='alert',
            field=models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='suppressions', to='alerts.alert'),
        ),
        migrations.AddField(
            model_name='suppression',
            name='root',
            field=models.ForeignKey(db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='explains', to='alerts.alert'),
        ),
        migrations.AddField(
            model_name='suppression',
            name='rule',
            field=models.ForeignKey(db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='dependencies.correlationrule'),
        ),
        migrations.AddField(
            model_name='suppression',
            name='window',
            field=models.ForeignKey(db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='suppressions', to='alerts.maintenancewindow'),
        ),
        migrations.AddIndex(
            model_name='suppression',
            index=models.Index(fields=['alert', 'id'], name='suppression_by_alert'),
        ),
        migrations.AddIndex(
            model_name='suppression',
            index=models.Index(condition=models.Q(('ended_at', None), ('until__isnull', False)), fields=['until'], name='suppression_due'),
        ),
        migrations.AddIndex(
            model_name='suppression',
            index=models.Index(condition=models.Q(('ended_at', None), ('root__isnull', False)), fields=['root'], name='suppression_by_root'),
        ),
        migrations.AddIndex(
            model_name='suppression',
            index=models.Index(condition=models.Q(('window__isnull', False)), fields=['window', 'alert'], name='suppression_by_window'),
        ),
        migrations.AddConstraint(
            model_name='suppression',
            constraint=models.UniqueConstraint(condition=models.Q(('ended_at', None)), fields=('alert', 'kind', 'window'), name='suppression_one_open_per_reason', nulls_distinct=False),
        ),
    ]
