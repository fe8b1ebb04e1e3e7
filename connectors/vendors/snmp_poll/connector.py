"""Any device with an SNMP agent, by standard MIBs.

One GET says that it lives and how long it runs; each table is walked only where the agent has it.

Sources: IF-MIB (RFC 2863), HOST-RESOURCES-MIB (RFC 2790), UCD-SNMP-MIB, CISCO-PROCESS-MIB, CISCO-MEMORY-POOL-MIB,
CISCO-ENHANCED-MEMPOOL-MIB, CISCO-ENVMON-MIB, ENTITY-SENSOR-MIB (RFC 3433); the project's SNMP notes, "Poll objects
common to all devices" and section 6.
"""

from __future__ import annotations

from connectors.framework.snmp_device import SnmpDevice
from connectors.vendors.snmp_poll import custom, host, interfaces, sensors


class Connector(SnmpDevice):
    parts = (interfaces.read, host.read, sensors.read, custom.read)
