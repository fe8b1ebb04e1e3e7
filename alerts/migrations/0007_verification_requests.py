"""Devices to be polled because their parent is back."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('alerts', '0006_evaluation'),
    ]

    operations = [
        migrations.CreateModel(
            name='VerificationRequest',
            fields=[
                ('device_ip', models.GenericIPAddressField(primary_key=True, serialize=False)),
                ('asked_at', models.DateTimeField()),
            ],
        ),
    ]
