"""What daphne serves: the application, in a process that looks after its spool and says that it lives.

Importing this starts it. Who only wants the application takes it from opsconductor.asgi.
"""

from opsconductor import slowreaders
from opsconductor.asgi import application
from opsconductor.logs import mask_access_log

# Importable only when Django is set up.
from connectors.webprocess import WebProcess  # isort: skip

__all__ = ["application"]


mask_access_log()
slowreaders.install()
WebProcess().start()
