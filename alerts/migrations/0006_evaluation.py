"""What the open alerts were looked at with last; a deleted window stays the name of what it kept quiet."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('alerts', '0005_suppressions_and_windows'),
    ]

    operations = [
        migrations.CreateModel(
            name='Evaluation',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('versions', models.CharField(default='', max_length=200)),
                ('due_at', models.DateTimeField(help_text='When the next window begins or ends.', null=True)),
            ],
        ),
        migrations.AlterField(
            model_name='suppression',
            name='window',
            field=models.ForeignKey(db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='suppressions', to='alerts.maintenancewindow'),
        ),
    ]
