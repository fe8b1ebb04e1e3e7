"""What people did and may take back for a few seconds, and the word for it in the history (choices only: no SQL)."""

import django.contrib.postgres.fields
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('alerts', '0012_saved_views'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AlterField(
            model_name='alerthistory',
            name='action',
            field=models.CharField(choices=[('opened', 'Opened'), ('reopened', 'Reopened'), ('severity_changed', 'Severity Changed'), ('cleared', 'Cleared'), ('expired', 'Expired'), ('acknowledged', 'Acknowledged'), ('unacknowledged', 'Unacknowledged'), ('resolved', 'Resolved'), ('note', 'Note'), ('suppressed', 'Suppressed'), ('released', 'Released'), ('announced', 'Announced'), ('flapping', 'Flapping'), ('calmed', 'Calmed'), ('listed', 'Listed'), ('assigned', 'Assigned'), ('undone', 'Undone')], max_length=20),
        ),
        migrations.CreateModel(
            name='Undo',
            fields=[
                ('id', models.UUIDField(editable=False, primary_key=True, serialize=False)),
                ('action', models.CharField(help_text='As the history records it, or silence.', max_length=20)),
                ('is_ready', models.BooleanField(default=False, help_text='It is done and not being undone.')),
                ('expires_at', models.DateTimeField()),
                ('windows', django.contrib.postgres.fields.ArrayField(base_field=models.BigIntegerField(), blank=True, default=list, help_text='Silences it made.', size=None)),
                ('user', models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'default_permissions': (),
            },
        ),
        migrations.CreateModel(
            name='UndoPart',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('sequence', models.BigIntegerField(help_text='The history as it was before.')),
                ('at', models.DateTimeField()),
                ('before', models.JSONField(help_text='By alert, the columns as they were.')),
                ('owes', models.BooleanField(default=False, help_text='Something is to be told when undoing is over.')),
                ('undo', models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.CASCADE, related_name='parts', to='alerts.undo')),
            ],
            options={
                'default_permissions': (),
            },
        ),
    ]
