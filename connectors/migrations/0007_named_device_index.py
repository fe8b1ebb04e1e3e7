"""The trap page asks the journal for the traps that name a device without being believed.

Building the index locks writers out, as in 0005; only the few traps it holds pay for it.
"""

from django.db import migrations

CREATE = """
CREATE INDEX rawevent_by_named ON connectors_rawevent ((data ->> 'named_device'), received_at DESC)
    WHERE datagram IS NOT NULL AND data IS NOT NULL;
"""


class Migration(migrations.Migration):
    dependencies = [("connectors", "0006_mapping_help_texts")]

    operations = [migrations.RunSQL(CREATE, "DROP INDEX rawevent_by_named;")]
