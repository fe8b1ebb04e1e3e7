"""The zone whose days are counted. One column with a constant default, on a table of one row."""

import opsconductor.models
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('opsconductor', '0007_wall_links'),
    ]

    operations = [
        migrations.AddField(
            model_name='systemsettings',
            name='time_zone',
            field=models.CharField(default='UTC', help_text='Days begin by it where they are counted: “alerts today” of a connector. For example Europe/Berlin.', max_length=60, validators=[opsconductor.models.check_time_zone]),
        ),
    ]
