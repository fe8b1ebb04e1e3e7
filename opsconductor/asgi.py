"""What daphne serves: Django, and the live board's socket. Plain ASGI routes stand before Django's."""

import os
from typing import Any

from channels.auth import AuthMiddlewareStack
from channels.routing import ProtocolTypeRouter, URLRouter
from django.core.asgi import get_asgi_application
from django.urls import path, re_path

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "opsconductor.settings")
django_application = get_asgi_application()

# Importable only when Django is set up.
from alerts.consumers import board_socket, no_such_socket, same_site, while_database_answers  # noqa: E402
from alerts.wallsocket import wall_socket  # noqa: E402
from connectors.events_api import events_api  # noqa: E402
from connectors.webhook_api import webhook_api  # noqa: E402

# The stubs know path() only with Django views; Channels routes ASGI applications with it.
HTTP: list[Any] = [
    re_path("^api/v1/events/?$", events_api),  # type: ignore[arg-type]
    re_path("^api/v1/webhooks/", webhook_api),  # type: ignore[arg-type]
    re_path("", django_application),  # type: ignore[arg-type]
]
SOCKETS: list[Any] = [
    path("ws/alerts/", board_socket),  # type: ignore[arg-type]
    path("ws/wall/", wall_socket),  # type: ignore[arg-type]
    path("ws/wall/<slug:token>/", wall_socket),  # type: ignore[arg-type]
    re_path("", no_such_socket),  # type: ignore[arg-type]
]

application = ProtocolTypeRouter(
    {
        "http": URLRouter(HTTP),
        "websocket": while_database_answers(same_site(AuthMiddlewareStack(URLRouter(SOCKETS)))),
    }
)
