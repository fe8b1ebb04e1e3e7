"""What many connectors share: groups of settings, and the alerts about the source itself.

Source: the project's vendor notes, common rules ("Config-schema parts used by all", "Connector-health alert types").
"""

from __future__ import annotations

from typing import Any

# Of every source that sends by itself, whoever reads it.
SILENCE_SETTING = "webhook_silence_s"
SILENCE_SECONDS = (60, 30 * 86_400)

GROUPS: dict[str, dict[str, Any]] = {
    "polling": {
        "timeout_s": {
            "type": "number",
            "title": "Timeout",
            "unit": "s",
            "description": "How long an answer may take.",
            "minimum": 1,
            "maximum": 120,
            "default": 10,
        },
        "offline_after": {
            "type": "integer",
            "title": "Offline after",
            "unit": "polls",
            "description": "So many polls in a row without an answer, and it is told as offline.",
            "minimum": 1,
            "maximum": 10,
            "default": 3,
        },
        "max_concurrency": {
            "type": "integer",
            "title": "Targets at once",
            "description": "So many targets are asked at the same time.",
            "minimum": 1,
            "maximum": 512,
            "default": 64,
        },
    },
    "snmp": {
        "snmp_version": {
            "type": "string",
            "title": "SNMP version",
            "enum": ["v2c", "v1", "v3"],
            "default": "v2c",
        },
        "community": {
            "type": "string",
            "title": "Community",
            "description": "Of v1 and v2c.",
            "sensitive": True,
        },
        "v3_user": {"type": "string", "title": "v3 user", "default": ""},
        "v3_auth_protocol": {
            "type": "string",
            "title": "v3 authentication",
            "enum": ["none", "MD5", "SHA", "SHA-224", "SHA-256", "SHA-384", "SHA-512"],
            "default": "SHA-256",
        },
        "v3_auth_key": {"type": "string", "title": "v3 authentication passphrase", "sensitive": True},
        "v3_priv_protocol": {
            "type": "string",
            "title": "v3 privacy",
            "enum": ["none", "DES", "AES-128", "AES-192", "AES-256", "AES-192-C", "AES-256-C"],
            "default": "AES-128",
        },
        "v3_priv_key": {"type": "string", "title": "v3 privacy passphrase", "sensitive": True},
        "retries": {
            "type": "integer",
            "title": "Repeats",
            "description": "A datagram may be lost: so often a request is sent again.",
            "minimum": 0,
            "maximum": 5,
            "default": 1,
        },
    },
    "receiving": {
        SILENCE_SETTING: {
            "type": "integer",
            "title": "Silent after",
            "unit": "s",
            "description": "An alert when nothing came for so long. 0: never.",
            "minimum": 0,
            "maximum": SILENCE_SECONDS[1],
            "default": 0,
        },
    },
    "tls": {
        "verify_tls": {
            "type": "boolean",
            "title": "Check certificates",
            "description": "Off: any certificate is taken. Better: say the fingerprint of a self-signed one.",
            "default": True,
        },
        "tls_pin_sha256": {
            "type": "string",
            "title": "Certificate fingerprint",
            "description": "SHA-256 of a self-signed certificate, 64 hexadecimal digits.",
            "pattern": "^([0-9a-fA-F]{64})?$",
            "default": "",
        },
        "ca_bundle_pem": {
            "type": "string",
            "title": "Own authority",
            "description": "The certificate of your own authority, PEM.",
            "format": "textarea",
            "default": "",
        },
    },
}

# Alerts about the source itself; every connector has them.
HEALTH: dict[str, dict[str, Any]] = {
    "device_offline": {
        "severity": "critical",
        "category": "network",
        "cleared_by": "device_online",
        "title": "Does not answer",
    },
    "source_offline": {
        "severity": "critical",
        "category": "network",
        "cleared_by": "source_online",
        "title": "Does not answer",
    },
    "auth_failed": {
        "severity": "major",
        "category": "security",
        "cleared_by": "auth_ok",
        "title": "Credentials refused",
    },
    "tls_failure": {
        "severity": "warning",
        "category": "security",
        "cleared_by": "tls_ok",
        "title": "No trusted connection",
    },
    "api_error": {
        "severity": "warning",
        "category": "compute",
        "cleared_by": "api_ok",
        "title": "Answers, but wrongly",
    },
    "webhook_silent": {
        "severity": "info",
        "category": "network",
        "cleared_by": "webhook_ok",
        "title": "Nothing heard",
    },
}


def wrong_silence(value: Any) -> str:
    """Why this cannot be the setting of a silent source, "" when it can. Null and 0 switch it off."""
    if value is None or (value == 0 and not isinstance(value, bool)):
        return ""
    shortest, longest = SILENCE_SECONDS
    if isinstance(value, bool) or not isinstance(value, int) or not shortest <= value <= longest:
        return f"A whole number of seconds from {shortest} to {longest}, or 0 for never."
    return ""
