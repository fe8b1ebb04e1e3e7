"""The secret a webhook is sent with. Whoever takes webhooks notices an edit as every other of a connector.

Locks: three columns with constant defaults and CREATE TRIGGER need a short exclusive lock on a table of a few rows.
"""

from django.db import migrations, models

import opsconductor.crypto

COLUMNS = "name, slug, type, enabled, identity_scope, config, trusted_for_time"
SECRETS = "webhook_secret, previous_webhook_secret, previous_secret_until"


def trigger(columns: str) -> str:
    return f"""
    DROP TRIGGER bump_config_update ON connectors_connector;
    CREATE TRIGGER bump_config_update AFTER UPDATE OF {columns}
    ON connectors_connector FOR EACH STATEMENT EXECUTE FUNCTION opsconductor_bump_config('connectors');
    """


class Migration(migrations.Migration):
    dependencies = [
        ("connectors", "0015_moved_counts"),
        ("opsconductor", "0006_engine_configuration"),
    ]

    operations = [
        migrations.AddField(
            model_name="connector",
            name="webhook_secret",
            field=opsconductor.crypto.EncryptedTextField(
                blank=True,
                default="",
                help_text="What its sender shows, at least 16 characters. Stored encrypted, never shown again.",
            ),
        ),
        migrations.AddField(
            model_name="connector",
            name="previous_webhook_secret",
            field=opsconductor.crypto.EncryptedTextField(blank=True, default="", editable=False),
        ),
        migrations.AddField(
            model_name="connector",
            name="previous_secret_until",
            field=models.DateTimeField(editable=False, null=True),
        ),
        migrations.RunSQL(trigger(f"{COLUMNS}, {SECRETS}"), trigger(COLUMNS)),
    ]
