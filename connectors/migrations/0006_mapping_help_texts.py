"""Help texts of a mapping row: what a component template and a condition can say."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("connectors", "0005_trap_page_indexes"),
    ]

    operations = [
        migrations.AlterField(
            model_name="oidmapping",
            name="component_template",
            field=models.CharField(
                blank=True,
                help_text="Which varbinds name the part of the device, separated by commas: ifIndex, an OID, index, index(bgpPeerState):1 for the first number of that varbind's row. a|b: the first that is there. port=a: under the label port; period='60 s': fixed text.",
                max_length=300,
            ),
        ),
        migrations.AlterField(
            model_name="oidmapping",
            name="conditions",
            field=models.JSONField(
                blank=True,
                default=list,
                help_text='First match wins: [{"oid": "ifAdminStatus", "op": "eq", "value": 2, "severity": "info"}]. op: eq, ne, in, lt, gt, regex; “value_oid” instead of “value”: another varbind; “and”: further comparisons. Sets severity, is_clear, alert_type, clears, category, component_template, title_template.',
            ),
        ),
        migrations.AlterField(
            model_name="oidmapping",
            name="title_template",
            field=models.CharField(
                blank=True,
                help_text="Jinja: {{ ifDescr }}, {{ vb['1.3.6...'] }}, {{ word['ifOperStatus'] }}, {{ device }}. Empty: the alert type.",
                max_length=500,
            ),
        ),
    ]
