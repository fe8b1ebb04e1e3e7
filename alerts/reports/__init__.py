"""How the alarm system does, by ISA-18.2 and EEMUA 191: how many alarms operators get, which ones, and what becomes
of them. `asked` is the period and its filters, `gathered` collects, `figures` counts, `floods` is pure."""
