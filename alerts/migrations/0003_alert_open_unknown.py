"""The open alerts of traps without a mapping: few rows, so building it takes milliseconds."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [("alerts", "0002_history_sequence_and_storage")]

    operations = [
        migrations.AddIndex(
            model_name="alert",
            index=models.Index(
                condition=models.Q(("alert_type", "unknown_trap"), ("condition", "raised")),
                fields=["component", "id"],
                name="alert_open_unknown",
            ),
        ),
    ]
