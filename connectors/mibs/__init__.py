"""From what vendors publish about their traps (MIB modules, snmptt.conf, OpenNMS events) to proposed mapping rows.

    upload.py     files, archives and folders -> texts, each with its kind
    source.py     a MIB text -> its definitions, line by line (pysmi's grammar, one definition at a time)
    worker.py     the same in a process of its own, with a time and a memory limit
    compile.py    definitions -> OIDs, with the imports resolved among uploads, shipped facts and earlier imports
    guess.py      names and descriptions -> category, severity, raise and clear, title, each with its reason
    proposals.py  the proposed rows of an upload, compared with the rows that exist; saving the chosen ones
    snmptt.py     snmptt.conf -> the same proposals
    opennms.py    OpenNMS event files -> the same proposals

`base.json` holds what standard modules (IETF, IANA) define: names, OIDs, kinds, units and words of enumerations.
These are facts; no text of a module is in it.

Nothing here reaches for the network: a module that is missing is named, never fetched.
"""
