"""Small trap definitions of our own."""

from __future__ import annotations

HEAD = """IMPORTS
    MODULE-IDENTITY, OBJECT-TYPE, NOTIFICATION-TYPE, Integer32, enterprises FROM SNMPv2-SMI
    TruthValue, DisplayString FROM SNMPv2-TC;

acme MODULE-IDENTITY
    LAST-UPDATED "202601010000Z" ORGANIZATION "Acme" CONTACT-INFO "noc" DESCRIPTION "A made-up vendor."
    ::= { enterprises 64999 }
"""


def mib(body: str, name: str = "ACME-MIB", head: str = HEAD) -> str:
    return f"{name} DEFINITIONS ::= BEGIN\n{head}{body}\nEND\n"


def notification(name: str, number: int, description: str = "", objects: str = "", parent: str = "acme 0") -> str:
    carried = f"OBJECTS {{ {objects} }} " if objects else ""
    return f'{name} NOTIFICATION-TYPE {carried}STATUS current DESCRIPTION "{description}" ::= {{ {parent} {number} }}\n'


TABLE = """
acmeFanTable OBJECT-TYPE SYNTAX SEQUENCE OF AcmeFanEntry MAX-ACCESS not-accessible STATUS current
    DESCRIPTION "Fans." ::= { acme 1 }
acmeFanEntry OBJECT-TYPE SYNTAX AcmeFanEntry MAX-ACCESS not-accessible STATUS current
    DESCRIPTION "A fan." INDEX { acmeFanIndex } ::= { acmeFanTable 1 }
AcmeFanEntry ::= SEQUENCE { acmeFanIndex Integer32, acmeFanName DisplayString, acmeFanSpeed Integer32,
    acmeFanState INTEGER }
acmeFanIndex OBJECT-TYPE SYNTAX Integer32 MAX-ACCESS not-accessible STATUS current
    DESCRIPTION "Number." ::= { acmeFanEntry 1 }
acmeFanName OBJECT-TYPE SYNTAX DisplayString MAX-ACCESS read-only STATUS current
    DESCRIPTION "Name." ::= { acmeFanEntry 2 }
acmeFanSpeed OBJECT-TYPE SYNTAX Integer32 UNITS "rpm" MAX-ACCESS read-only STATUS current
    DESCRIPTION "Speed." ::= { acmeFanEntry 3 }
acmeFanState OBJECT-TYPE SYNTAX INTEGER { ok(1), degraded(2), failed(3), critical(4) } MAX-ACCESS read-only
    STATUS current DESCRIPTION "State." ::= { acmeFanEntry 4 }
acmeArmed OBJECT-TYPE SYNTAX TruthValue MAX-ACCESS read-only STATUS current
    DESCRIPTION "Armed." ::= { acme 2 }
"""

FANS = mib(
    TABLE
    + notification("acmeFanFailed", 1, "A fan has stopped.", "acmeFanIndex, acmeFanName, acmeFanSpeed")
    + notification("acmeFanRestored", 2, "The fan works again.", "acmeFanIndex, acmeFanName")
    + notification("acmeFanStateChange", 3, "Sent when a fan changes its state.", "acmeFanIndex, acmeFanState")
    + notification("acmeHeartbeat", 4, "Sent every minute.")
)

SNMPTT = """\
# made up
EVENT acmeFanFailed .1.3.6.1.4.1.64999.0.1 "Status Events" CRITICAL
FORMAT Fan $2 failed on $A: $* {50%}
EXEC /usr/bin/mail root
SDESC
A fan has stopped.
Variables:
  1: acmeFanIndex
EDESC
EVENT acmeFanRestored .1.3.6.1.4.1.64999.0.2 "Status Events" Normal
FORMAT Fan $2 works again
#
EVENT acmeDoor .1.3.6.1.4.1.64999.0.7 "Status Events" MAJOR
FORMAT Door $1 open
MATCH $2: 1
EVENT acmeDoorClosed .1.3.6.1.4.1.64999.0.7 "Status Events" INFORMATIONAL
FORMAT Door $1 closed
MATCH MODE=and
MATCH $2: (^2$)i
MATCH $3: >5
MATCH $4: 3-7
EVENT acmeNoise .1.3.6.1.4.1.64999.0.8 "IGNORE" Normal
FORMAT Noise
EVENT acmeByName ACME-MIB::acmeByName "Status Events" Normal
FORMAT x
"""

OPENNMS = """\
<?xml version="1.0" encoding="UTF-8"?>
<events xmlns="http://xmlns.opennms.org/xsd/eventconf">
  <event>
    <mask>
      <maskelement><mename>id</mename><mevalue>.1.3.6.1.4.1.64999</mevalue></maskelement>
      <maskelement><mename>generic</mename><mevalue>6</mevalue></maskelement>
      <maskelement><mename>specific</mename><mevalue>1</mevalue></maskelement>
    </mask>
    <uei>uei.opennms.org/vendor/acme/traps/acmeFanFailed</uei>
    <event-label>Acme fan failed</event-label>
    <descr>&lt;p&gt;A fan has stopped.&lt;/p&gt;</descr>
    <logmsg dest="logndisplay">Fan %parm[#2]% of %nodelabel% failed %parm[all]%</logmsg>
    <severity>Major</severity>
    <alarm-data reduction-key="%uei%:%dpname%:%nodeid%:%parm[#1]%" alarm-type="1" auto-clean="false"/>
    <varbindsdecode><parmid>.1.3.6.1.4.1.64999.9.1.0</parmid>
      <decode varbindvalue="1" varbinddecodedstring="on"/></varbindsdecode>
  </event>
  <event>
    <mask>
      <maskelement><mename>id</mename><mevalue>.1.3.6.1.4.1.64999</mevalue></maskelement>
      <maskelement><mename>generic</mename><mevalue>6</mevalue></maskelement>
      <maskelement><mename>specific</mename><mevalue>2</mevalue></maskelement>
    </mask>
    <uei>uei.opennms.org/vendor/acme/traps/acmeFanBack</uei>
    <event-label>Acme fan back</event-label>
    <descr>Works again.</descr>
    <logmsg dest="logndisplay">Fan %parm[#2]% works again</logmsg>
    <severity>Normal</severity>
    <alarm-data reduction-key="%uei%:%dpname%:%nodeid%:%parm[#1]%" alarm-type="2"
      clear-key="uei.opennms.org/vendor/acme/traps/acmeFanFailed:%dpname%:%nodeid%:%parm[#1]%"/>
  </event>
  <event>
    <mask>
      <maskelement><mename>id</mename><mevalue>.1.3.6.1.4.1.64999</mevalue></maskelement>
      <maskelement><mename>specific</mename><mevalue>3</mevalue></maskelement>
      <varbind><vbnumber>1</vbnumber><vbvalue>4</vbvalue><vbvalue>5</vbvalue></varbind>
    </mask>
    <uei>uei.opennms.org/vendor/acme/traps/acmeDoorOpen</uei>
    <event-label>Door</event-label><descr>Door.</descr>
    <logmsg dest="discardtraps">Door</logmsg><severity>Minor</severity>
  </event>
  <event>
    <uei>uei.opennms.org/internal/x</uei><event-label>x</event-label><descr>x</descr>
    <logmsg dest="logonly">x</logmsg><severity>Normal</severity>
  </event>
</events>
"""
