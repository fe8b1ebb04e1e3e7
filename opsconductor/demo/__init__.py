"""A made-up network and a story that happens in it, told to the running system as devices and pollers would."""
