"""The Celery application.

Tasks live in `<app>/tasks.py` and are declared with `@app.task` of this object: `opsconductor/__init__.py`
does not import it, so that the trap listener and the supervisor stay free of Celery. Tasks run in a threads
pool, where Celery's own time limits do nothing: a task that waits for the network uses asyncio.timeout.
"""

import os
import warnings

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "opsconductor.settings")

# Messages are JSON, so running as root or as a nameless user, as in containers, endangers nothing here.
warnings.filterwarnings("ignore", message="You're running the worker|An entry for the specified")

app = Celery("opsconductor")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
