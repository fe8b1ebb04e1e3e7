"""How many events left a bucket, beside how many are in it: what /metrics counts must not fall."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("connectors", "0014_normalisation_texts"),
    ]

    operations = [
        migrations.AddField(
            model_name="ingestcount",
            name="moved",
            field=models.BigIntegerField(db_default=0, default=0),
        ),
    ]
