"""Who stands on whom, and what of it hides what."""

import django.contrib.postgres.fields
import django.core.validators
import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('dependencies', '0001_initial'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='CorrelationRule',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=100, unique=True)),
                ('enabled', models.BooleanField(default=True)),
                ('parent_alert_types', django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=200), help_text='Alert types of the parent, or beginnings: device_offline, psu_*', size=None)),
                ('parent_scope', models.CharField(choices=[('device', 'the whole device'), ('component', 'what hangs on that part of it')], default='device', max_length=10)),
                ('dependency_types', django.contrib.postgres.fields.ArrayField(base_field=models.CharField(choices=[('network', 'Network'), ('power', 'Power'), ('service', 'Service')], max_length=10), blank=True, default=list, help_text='Edges it works along. Empty: all.', size=None)),
                ('hidden_alert_types', django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=200), help_text='Alert types hidden below it, or beginnings; * hides all. Security alerts are never hidden.', size=None)),
                ('hold_seconds', models.PositiveIntegerField(blank=True, help_text='Empty: as the system settings say.', null=True)),
                ('release_seconds', models.PositiveIntegerField(blank=True, help_text='Empty: as the system settings say.', null=True)),
                ('notes', models.TextField(blank=True, default='')),
            ],
            options={
                'ordering': ['name'],
            },
        ),
        migrations.AddField(
            model_name='device',
            name='former_ips',
            field=django.contrib.postgres.fields.ArrayField(base_field=models.GenericIPAddressField(), blank=True, db_default=models.Value([]), default=list, editable=False, help_text='Primary addresses it had before; alerts that are still open know it by them.', size=None),
        ),
        migrations.CreateModel(
            name='Dependency',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('device_ip', models.GenericIPAddressField(verbose_name='device')),
                ('depends_on_ip', models.GenericIPAddressField(verbose_name='depends on')),
                ('dependency_type', models.CharField(choices=[('network', 'Network'), ('power', 'Power'), ('service', 'Service')], default='network', max_length=10, verbose_name='type')),
                ('depends_on_component', models.CharField(blank=True, default='', help_text='Part of the parent: ifIndex=3. Empty: the parent.', max_length=200, verbose_name='through')),
                ('redundancy_group', models.CharField(blank=True, default='', help_text='Edges of one group are alternatives: one live one suffices.', max_length=60)),
                ('description', models.CharField(blank=True, default='', max_length=500)),
                ('auto_discovered', models.BooleanField(default=False)),
                ('confidence', models.PositiveSmallIntegerField(default=100, help_text='Percent; 100 for what a person entered.', validators=[django.core.validators.MaxValueValidator(100)])),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ('created_by', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'verbose_name_plural': 'dependencies',
                'ordering': ['device_ip', 'depends_on_ip'],
                'indexes': [models.Index(fields=['depends_on_ip'], name='dependency_by_parent')],
                'constraints': [models.UniqueConstraint(fields=('device_ip', 'depends_on_ip', 'dependency_type', 'depends_on_component'), name='dependency_one_per_edge'), models.CheckConstraint(condition=models.Q(('device_ip', models.F('depends_on_ip')), _negated=True), name='dependency_not_on_itself')],
            },
        ),
    ]
