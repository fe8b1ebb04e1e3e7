"""Fills a database with a network's worth of alerts for the other benchmarks: many open, many more ended."""

from __future__ import annotations

from typing import Any

DEVICES, SITES = 2_000, 40

# Every value follows from the row's number, so that two runs measure the same rows. `hash(n, salt)` spreads them.
_HASH = """
CREATE FUNCTION pg_temp.spread(n bigint, salt int, many int) RETURNS int LANGUAGE sql IMMUTABLE AS
$$ SELECT ((hashint8extended(n, salt) & 9223372036854775807) % many)::int $$"""

_DEVICES = """
INSERT INTO dependencies_device (ip, aliases, name, site, role, vendor, model, sys_object_id, notes)
SELECT ('10.' || 20 + n / 250 || '.' || n % 250 / 50 || '.' || n % 250 + 1)::inet, '{}',
    (ARRAY['core-sw','acc-sw','cam','radio','ups','nvr','srv','fw'])[1 + n % 8] || '-' || lpad(n::text, 4, '0'),
    'Site ' || chr(65 + n % %(sites)s %% 26) || n % %(sites)s, (ARRAY['core switch','access switch','camera','radio',
    'UPS','NVR','server','firewall'])[1 + n % 8], '', '', '', ''
FROM generate_series(0, %(devices)s - 1) AS n"""

# Types with their categories and usual severities; the first are the most frequent.
_TYPES = """
CREATE TEMP TABLE kinds AS SELECT row_number() OVER () - 1 AS k, * FROM (VALUES
    ('link_down', 'network', 4, 'Interface GigabitEthernet1/0/%s down'),
    ('motion_detected', 'video', 1, 'Motion detected in zone %s'),
    ('signal_low', 'wireless', 3, 'Received signal low on radio %s'),
    ('power_on_battery', 'power', 4, 'On battery, input %s lost'),
    ('device_offline', 'network', 5, 'Device does not answer, check %s'),
    ('temperature_high', 'environment', 3, 'Temperature of sensor %s too high'),
    ('config_changed', 'security', 1, 'Configuration changed by session %s'),
    ('cpu_high', 'compute', 2, 'CPU %s above its threshold'),
    ('disk_full', 'storage', 4, 'Volume %s is nearly full'),
    ('bgp_down', 'network', 5, 'BGP session with peer %s lost'),
    ('auth_failed', 'security', 2, 'Authentication failed on console %s'),
    ('recording_lost', 'video', 4, 'Recording of channel %s lost'),
    ('poe_fault', 'power', 3, 'PoE fault on port %s'),
    ('fan_failed', 'environment', 3, 'Fan %s failed'),
    ('service_down', 'application', 4, 'Service %s does not answer'),
    ('unknown_trap', 'unknown', 2, 'Trap 1.3.6.1.4.1.9.9.%s')
) AS v(alert_type, category, severity, title)"""

_ALERTS = """
INSERT INTO alerts_alert (
    id, connector_id, source_system, source_alert_id, device_ip, device_name, device_id, severity, peak_severity,
    priority, impact, urgency, category, alert_type, component, title, message, condition, status, is_clear, opening,
    transitions, occurrence_count, occurred_at, received_at, last_raise_at, last_clear_at, last_occurrence_at,
    acknowledged_at, acknowledged_by_id, resolved_at, tags, custom_fields, raw_data, fingerprint, created_at,
    updated_at, quiet, announced, correlated_to_id)
SELECT
    (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7' || substr(m, 1, 3) || '8' || substr(m, 4, 15)
    )::uuid,
    c.id, c.type, '', d.ip, d.name, d.id, sev, sev, 6 - greatest(sev, 1), 'medium', 'medium', category, alert_type,
    'ifIndex=' || part, format(title, part),
    CASE WHEN n % 3 = 0 THEN '' ELSE format('%s reports %s on %s at %s: state changed from normal(1) to alarm(2), last '
        'value %s. Ticket %s, contact the field team of the region.', d.name, alert_type, part, d.site, n % 997, n) END,
    CASE WHEN is_open THEN 'raised' ELSE 'cleared' END,
    CASE WHEN NOT is_open THEN 'resolved' WHEN mood < 68 THEN 'active' WHEN mood < 82 THEN 'acknowledged'
        ELSE 'suppressed' END,
    NOT is_open, 1, CASE WHEN is_open THEN 1 ELSE 2 END, 1 + pg_temp.spread(n, 5, 50) * pg_temp.spread(n, 6, 40),
    at, at, at, CASE WHEN is_open THEN NULL ELSE at + interval '7 minutes' END,
    at + (now() - at) * pg_temp.spread(n, 7, 1000) / 1000.0,
    CASE WHEN is_open AND mood BETWEEN 68 AND 81 THEN at + interval '3 minutes' END,
    CASE WHEN is_open AND mood BETWEEN 68 AND 81 THEN (SELECT min(id) FROM auth_user) END,
    CASE WHEN is_open THEN NULL ELSE at + interval '7 minutes' END,
    CASE WHEN n % 4 = 0 THEN ARRAY[(ARRAY['backbone','gold','customer','lab'])[1 + pg_temp.spread(n, 8, 4)]]
        ELSE '{}'::varchar[] END,
    '{}',
    jsonb_build_object('trap_oid', '1.3.6.1.4.1.9.9.' || part, 'uptime', n, 'varbinds', jsonb_build_array(
        jsonb_build_object('oid', '1.3.6.1.2.1.2.2.1.1.' || part, 'type', 'INTEGER', 'value', part),
        jsonb_build_object('oid', '1.3.6.1.2.1.2.2.1.2.' || part, 'type', 'OCTET STRING', 'value', m))),
    m || m, at, at, CASE WHEN is_open AND mood >= 82 THEN 1 ELSE 0 END, is_open,
    NULL
FROM (
    SELECT n, n <= %(open)s AS is_open, pg_temp.spread(n, 1, 100) AS mood, 1 + pg_temp.spread(n, 2, 48) AS part,
        md5(n::text) AS m,
        -- Two thirds of what is open began within two days, the rest within two months; what has ended, within six.
        now() - interval '1 second' * CASE WHEN n > %(open)s THEN pg_temp.spread(n, 3, 180 * 86400)
            WHEN n % 3 > 0 THEN pg_temp.spread(n, 3, 2 * 86400) ELSE pg_temp.spread(n, 3, 60 * 86400) END AS at,
        -- A square root's worth: the first types and devices are met far more often than the last.
        16 * pg_temp.spread(n, 4, 1000) * pg_temp.spread(n, 9, 1000) / 1000000 AS k,
        %(devices)s * (pg_temp.spread(n, 10, 1000)::bigint * pg_temp.spread(n, 11, 1000)) / 1000000 AS dev
    FROM generate_series(1, %(open)s + %(ended)s) AS n
) AS given
JOIN kinds USING (k)
JOIN (SELECT *, row_number() OVER (ORDER BY ip) - 1 AS dev FROM dependencies_device) AS d USING (dev)
CROSS JOIN LATERAL (SELECT least(5, greatest(1, severity + pg_temp.spread(n, 12, 3) - 1)) AS sev) AS s
CROSS JOIN (SELECT id, type FROM connectors_connector WHERE slug = 'snmp_trap') AS c
ORDER BY at"""

# Two thirds of what is quiet is explained by one of a few roots, the rest is in maintenance.
_QUIET = """
INSERT INTO alerts_suppression (alert_id, kind, root_id, started_at, ended_because)
SELECT a.id, CASE WHEN row_number() OVER () % 3 = 0 THEN 'maintenance' ELSE 'dependency' END,
    CASE WHEN row_number() OVER () % 3 = 0 THEN NULL ELSE roots.ids[1 + row_number() OVER () % 20] END,
    a.occurred_at, ''
FROM alerts_alert a, (SELECT array_agg(id) AS ids FROM (SELECT id FROM alerts_alert WHERE condition = 'raised'
    AND status = 'active' AND severity = 5 ORDER BY occurred_at DESC LIMIT 20) AS r) AS roots
WHERE a.condition = 'raised' AND a.status = 'suppressed'"""

_ROOTS = """
UPDATE alerts_alert a SET correlated_to_id = s.root_id FROM alerts_suppression s
WHERE s.alert_id = a.id AND s.root_id IS NOT NULL"""

_HISTORY = """
INSERT INTO alerts_alerthistory (alert_id, action, old_status, new_status, notes, changes, news, created_at)
SELECT id, 'opened', '', 'active', '', '{}', 'problem', occurred_at FROM alerts_alert
WHERE condition = 'raised' ORDER BY occurred_at"""


def fill(conn: Any, opened: int = 50_000, ended: int = 1_000_000) -> None:
    """Replaces all alerts and devices. `conn` is a psycopg connection that commits by itself.

    Indexes are made anew afterwards, which takes a quarter of the time that filling them row by row would.
    """
    numbers = {"open": opened, "ended": ended, "devices": DEVICES, "sites": SITES}
    conn.execute("TRUNCATE alerts_alert, alerts_alerthistory, alerts_suppression, dependencies_device CASCADE")
    conn.execute(_HASH)
    conn.execute(_filled(_DEVICES, numbers))
    conn.execute(_TYPES)
    aside = conn.execute(
        "SELECT format('%I.%I', schemaname, indexname), indexdef FROM pg_indexes "
        "WHERE tablename = 'alerts_alert' AND indexdef NOT LIKE 'CREATE UNIQUE%'"
    ).fetchall()
    for name, _ in aside:
        conn.execute(f"DROP INDEX {name}")
    conn.execute("SET maintenance_work_mem = '512MB'")
    conn.execute(_filled(_ALERTS, numbers))
    for _, definition in aside:
        conn.execute(definition)
    conn.execute(_QUIET)
    conn.execute(_ROOTS)
    conn.execute(_HISTORY)
    conn.execute("VACUUM (ANALYZE) alerts_alert, alerts_alerthistory, alerts_suppression, dependencies_device")
    conn.execute("CHECKPOINT")
    check(conn, opened, ended)


def _filled(statement: str, numbers: dict[str, int]) -> str:
    for name, number in numbers.items():
        statement = statement.replace(f"%({name})s", str(number))
    return statement.replace("%%", "%")


def check(conn: Any, opened: int, ended: int) -> None:
    """Nothing is measured on a database that is not as it should be."""
    found = conn.execute(
        "SELECT count(*) FILTER (WHERE condition = 'raised'), count(*) FILTER (WHERE condition <> 'raised'), "
        "count(*) FILTER (WHERE status = 'suppressed') - (SELECT count(*) FROM alerts_suppression) FROM alerts_alert"
    ).fetchone()
    if found != (opened, ended, 0):
        raise SystemExit(f"The database was not filled as it should be: {found}.")
