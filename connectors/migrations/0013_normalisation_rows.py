"""How events of every source are read: rows of severity, category, title, identity and priority."""

import django.contrib.postgres.fields
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('connectors', '0012_dead_letters'),
    ]

    operations = [
        migrations.CreateModel(
            name='DeduplicationRule',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('connector_type', models.CharField(max_length=60, unique=True)),
                ('fingerprint_fields', django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=30), size=None)),
                ('dedup_window_minutes', models.PositiveIntegerField(blank=True, help_text='A raise this soon after the end continues the same alert. Empty: as the system settings say.', null=True)),
                ('former_fields', models.JSONField(blank=True, default=list, editable=False, help_text='Earlier lists, newest first.')),
                ('enabled', models.BooleanField(default=True)),
            ],
            options={
                'ordering': ['connector_type'],
            },
        ),
        migrations.AddField(
            model_name='connector',
            name='trusted_for_time',
            field=models.BooleanField(db_default=True, default=True, help_text='Its own times count, unless they are far off our clock. Off: the time of receipt.'),
        ),
        migrations.CreateModel(
            name='AlertTypeTemplate',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('connector_type', models.CharField(blank=True, default='', help_text='Empty: any.', max_length=60)),
                ('pattern', models.CharField(help_text='Alert type, or a beginning: disk_*', max_length=200)),
                ('template', models.CharField(help_text='Jinja: {{ device }}, {{ component }}, {{ metrics.load }}, {{ message }}, {{ alert_type }}.', max_length=500)),
                ('enabled', models.BooleanField(default=True)),
            ],
            options={
                'ordering': ['connector_type', 'pattern'],
                'constraints': [models.UniqueConstraint(fields=('connector_type', 'pattern'), name='alerttypetemplate_one_per_pattern')],
            },
        ),
        migrations.CreateModel(
            name='CategoryMapping',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('connector_type', models.CharField(blank=True, default='', help_text='Empty: any.', max_length=60)),
                ('source_field', models.CharField(default='alert_type', max_length=100)),
                ('source_value', models.CharField(help_text='As the source writes it; a * at the end: a beginning.', max_length=200)),
                ('target_category', models.CharField(choices=[('network', 'Network'), ('power', 'Power'), ('video', 'Video'), ('wireless', 'Wireless'), ('security', 'Security'), ('environment', 'Environment'), ('compute', 'Compute'), ('storage', 'Storage'), ('application', 'Application'), ('unknown', 'Unknown')], max_length=20)),
                ('enabled', models.BooleanField(default=True, help_text='Off: such events are journalled and counted, and raise nothing.')),
                ('notes', models.TextField(blank=True, default='')),
            ],
            options={
                'ordering': ['connector_type', 'source_field', 'source_value'],
                'constraints': [models.UniqueConstraint(fields=('connector_type', 'source_field', 'source_value'), name='categorymapping_one_per_value')],
            },
        ),
        migrations.CreateModel(
            name='PriorityRule',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('connector_type', models.CharField(blank=True, default='', help_text='Empty: any.', max_length=60)),
                ('category', models.CharField(blank=True, choices=[('network', 'Network'), ('power', 'Power'), ('video', 'Video'), ('wireless', 'Wireless'), ('security', 'Security'), ('environment', 'Environment'), ('compute', 'Compute'), ('storage', 'Storage'), ('application', 'Application'), ('unknown', 'Unknown')], default='', help_text='Empty: any.', max_length=20)),
                ('severity', models.SmallIntegerField(blank=True, choices=[(0, 'clear'), (1, 'info'), (2, 'warning'), (3, 'minor'), (4, 'major'), (5, 'critical')], help_text='Empty: any.', null=True)),
                ('impact', models.CharField(choices=[('high', 'High'), ('medium', 'Medium'), ('low', 'Low')], max_length=10)),
                ('urgency', models.CharField(choices=[('high', 'High'), ('medium', 'Medium'), ('low', 'Low')], max_length=10)),
                ('priority', models.SmallIntegerField(blank=True, choices=[(1, 'P1'), (2, 'P2'), (3, 'P3'), (4, 'P4'), (5, 'P5')], help_text='Empty: by impact and urgency.', null=True)),
                ('enabled', models.BooleanField(default=True)),
            ],
            options={
                'ordering': ['connector_type', 'category', 'severity'],
                'constraints': [models.UniqueConstraint(fields=('connector_type', 'category', 'severity'), name='priorityrule_one_per_case', nulls_distinct=False)],
            },
        ),
        migrations.CreateModel(
            name='SeverityMapping',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('connector_type', models.CharField(blank=True, default='', help_text='Empty: any.', max_length=60)),
                ('source_field', models.CharField(default='severity', max_length=100)),
                ('source_value', models.CharField(help_text='As the source writes it; case does not matter.', max_length=200)),
                ('target_severity', models.SmallIntegerField(choices=[(0, 'clear'), (1, 'info'), (2, 'warning'), (3, 'minor'), (4, 'major'), (5, 'critical')])),
                ('enabled', models.BooleanField(default=True, help_text='Off: such events are journalled and counted, and raise nothing.')),
                ('notes', models.TextField(blank=True, default='')),
            ],
            options={
                'ordering': ['connector_type', 'source_field', 'source_value'],
                'constraints': [models.UniqueConstraint(fields=('connector_type', 'source_field', 'source_value'), name='severitymapping_one_per_value')],
            },
        ),
    ]
