"""What engineers set up about sources, one module a subject. Importing registers the pages."""

from connectors.admin import connectors, journal, mappings, normalisation, polling, snmp

__all__ = ["connectors", "journal", "mappings", "normalisation", "polling", "snmp"]
