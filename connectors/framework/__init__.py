"""How a source is polled: what every connector shares, so that a vendor is a folder of its own and nothing else.

`manifest` says what a connector is, `registry` finds them, `base` is what they are written against, `health` turns the
outcome of a poll into alerts about the source itself, `normalizer` turns findings into events, `runner` polls.
"""
