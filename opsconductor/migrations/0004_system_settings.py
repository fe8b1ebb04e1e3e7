"""What an administrator may set for the whole installation."""

import django.core.validators
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('opsconductor', '0003_config_versions_of_v3_and_names'),
    ]

    operations = [
        migrations.CreateModel(
            name='SystemSettings',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('journal_days', models.PositiveIntegerField(default=30, help_text='Whole UTC days of received events that are kept.', validators=[django.core.validators.MinValueValidator(1)])),
                ('alert_days', models.PositiveIntegerField(default=90, help_text='Ended alerts and their history are removed so many days after their end.', validators=[django.core.validators.MinValueValidator(1)])),
                ('source_rate', models.PositiveIntegerField(default=500, help_text='Events a second from one source beyond which it opens no new alerts.', validators=[django.core.validators.MinValueValidator(1)])),
                ('source_burst', models.PositiveIntegerField(default=5000, help_text='Events a source may send at once before its rate counts.', validators=[django.core.validators.MinValueValidator(1)])),
            ],
            options={
                'verbose_name_plural': 'system settings',
                'constraints': [models.CheckConstraint(condition=models.Q(('pk', 1)), name='system_settings_one_row')],
            },
        ),
        migrations.RunSQL(
            "CREATE TRIGGER bump_config AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON opsconductor_systemsettings "
            "FOR EACH STATEMENT EXECUTE FUNCTION opsconductor_bump_config('settings');",
            "DROP TRIGGER bump_config ON opsconductor_systemsettings;",
        ),
    ]
