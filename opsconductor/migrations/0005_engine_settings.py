"""What an administrator may set of the engine."""

import django.core.validators
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('opsconductor', '0004_system_settings'),
    ]

    operations = [
        migrations.AddField(
            model_name='systemsettings',
            name='absent_snapshots',
            field=models.PositiveIntegerField(default=2, help_text='Complete polls in a row that must not report an alert before it is cleared.', validators=[django.core.validators.MinValueValidator(1)]),
        ),
        migrations.AddField(
            model_name='systemsettings',
            name='flap_calm_minutes',
            field=models.PositiveIntegerField(default=10, help_text='With at most one change so long, flapping is over.', validators=[django.core.validators.MinValueValidator(1)]),
        ),
        migrations.AddField(
            model_name='systemsettings',
            name='flap_transitions',
            field=models.PositiveIntegerField(default=6, help_text='Changes within the window that make an alert flapping. 0: never.'),
        ),
        migrations.AddField(
            model_name='systemsettings',
            name='flap_window_minutes',
            field=models.PositiveIntegerField(default=10, validators=[django.core.validators.MinValueValidator(1)]),
        ),
        migrations.AddField(
            model_name='systemsettings',
            name='hold_seconds',
            field=models.PositiveIntegerField(default=30, help_text='Alerts that a parent may explain are told so much later; the board shows them at once.'),
        ),
        migrations.AddField(
            model_name='systemsettings',
            name='poll_overrules_trap',
            field=models.BooleanField(default=True, help_text='A poll that finds a problem gone clears what a trap raised.'),
        ),
        migrations.AddField(
            model_name='systemsettings',
            name='release_seconds',
            field=models.PositiveIntegerField(default=120, help_text='When a parent recovered, what is below stays quiet for so long to recover too.'),
        ),
        migrations.AddField(
            model_name='systemsettings',
            name='reopen_window_seconds',
            field=models.PositiveIntegerField(default=300, help_text='A raise this soon after the end continues the same alert.'),
        ),
        migrations.AddField(
            model_name='systemsettings',
            name='severity_rise_drops_acknowledgement',
            field=models.BooleanField(default=True, help_text='An acknowledged alert that gets worse is active again.'),
        ),
        migrations.AddField(
            model_name='systemsettings',
            name='skew_seconds',
            field=models.PositiveIntegerField(default=300, help_text="A source's time further off our clock is not believed."),
        ),
        migrations.AddField(
            model_name='systemsettings',
            name='tombstone_seconds',
            field=models.PositiveIntegerField(default=600, help_text='How long a clear that found nothing makes older raises late.'),
        ),
    ]
