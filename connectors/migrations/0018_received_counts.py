"""What sources that send by themselves sent, how long they have been listened for, and words of theirs that no row
knows. New tables; no lock that lasts."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('connectors', '0017_polling'),
    ]

    operations = [
        migrations.CreateModel(
            name='Listening',
            fields=[
                ('connector', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, serialize=False, to='connectors.connector')),
                ('since', models.DateTimeField()),
                ('looked_at', models.DateTimeField()),
                ('told_at', models.DateTimeField(null=True)),
            ],
        ),
        migrations.AlterField(
            model_name='connector',
            name='config',
            field=models.JSONField(blank=True, default=dict, help_text='SNMP traps: {"trusted_relays": ["10.0.0.0/8"], "nat_sources": ["203.0.113.0/24"]}. Relays may say for whom they speak; a NAT source stands for one device, whatever agent address its traps carry. Of all that send by themselves: {"webhook_silence_s": 3600} is an alert after an hour without a word.'),
        ),
        migrations.CreateModel(
            name='ReceivedCount',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('connector_id', models.BigIntegerField()),
                ('shard', models.SmallIntegerField()),
                ('quarter', models.DateTimeField()),
                ('count', models.BigIntegerField()),
                ('last_at', models.DateTimeField(help_text='Receipt of the newest of them.')),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('connector_id', 'shard', 'quarter'), name='receivedcount_one_per_shard')],
            },
        ),
        migrations.CreateModel(
            name='SeenValue',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('connector_type', models.CharField(max_length=60)),
                ('source_field', models.CharField(max_length=100)),
                ('source_value', models.CharField(max_length=200)),
                ('count', models.BigIntegerField()),
                ('first_at', models.DateTimeField()),
                ('last_at', models.DateTimeField()),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('connector_type', 'source_field', 'source_value'), name='seenvalue_one_per_word')],
            },
        ),
    ]
