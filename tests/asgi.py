"""The web application as the tests' servers run it: opsconductor.asgi with the margins of tests.patience."""

import os

from opsconductor import slowreaders
from opsconductor.asgi import application
from tests import patience

__all__ = ["application"]

patience.widen()
slowreaders.install()
if "TEST_FALLBACK_SECONDS" in os.environ:
    from alerts import hub

    hub.FALLBACK_SECONDS = float(os.environ["TEST_FALLBACK_SECONDS"])
