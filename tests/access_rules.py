"""Who may call which route by which method. A new route needs one line here, or tests/test_access_matrix.py fails.

The line's key is the route as that test names it; for each method it says who may. What is not named is answered 405,
and signed-in people who are not named are answered 403; without signing in it is the sign-in page, or 401 of the API.
"""

from __future__ import annotations

VIEWER, OPERATOR, ADMIN, SERVICE, ANYBODY = "viewer", "operator", "admin", "service", "anonymous"

READ = frozenset({VIEWER, OPERATOR, ADMIN, SERVICE})  # whoever may see alerts
ACT = frozenset({OPERATOR, ADMIN})
SET_UP = frozenset({ADMIN})
LOOK = frozenset({VIEWER, OPERATOR, ADMIN})  # people who may see how it is set up
ALL = READ | {ANYBODY}

Rule = dict[str, frozenset[str]]

# Beside each other: pages.
PAGES: dict[str, Rule] = {
    "/": dict.fromkeys(("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"), ALL),  # leads to the board
    "/accounts/login/": {"GET": ALL, "POST": ALL, "PUT": ALL, "OPTIONS": ALL},
    "/accounts/logout/": {"POST": ALL, "OPTIONS": ALL},
    "/alerts/": {"GET": READ},
    "/alerts/<pk>/": {"GET": READ},
    "/alerts/<pk>/acknowledge/": {"POST": ACT},
    "/alerts/<pk>/assign/": {"POST": ACT},
    "/alerts/<pk>/changes/": {"GET": READ},
    "/alerts/<pk>/explains/": {"GET": READ},
    "/alerts/<pk>/note/": {"POST": ACT},
    "/alerts/<pk>/reopen/": {"POST": ACT},
    "/alerts/<pk>/resolve/": {"POST": ACT},
    "/alerts/<pk>/silence/": {"POST": ACT},
    "/alerts/<pk>/unacknowledge/": {"POST": ACT},
    "/alerts/act/": {"POST": ACT},
    "/alerts/groups/": {"GET": READ},
    "/alerts/matching/": {"GET": READ},
    "/alerts/people/": {"GET": ACT},
    "/alerts/settings/": {"GET": READ, "POST": READ},
    "/alerts/sound/": {"GET": READ, "POST": READ},
    "/alerts/sound/mute/": {"POST": READ},
    "/alerts/suggest/": {"GET": READ},
    "/alerts/undo/<token>/": {"POST": ACT},
    "/alerts/views/": {"GET": READ, "POST": READ},
    "/alerts/views/<pk>/": {"POST": READ},  # of one's own; whose a shared one is, is judged by it
    "/alerts/views/tabs/": {"GET": READ},
    "/connectors/": {"GET": LOOK},
    "/connectors/<pk>/": {"GET": LOOK},
    "/connectors/<pk>/poll/": {"POST": ACT},
    "/connectors/<pk>/runs/": {"GET": LOOK},
    "/connectors/<pk>/settings/": {"POST": SET_UP},
    "/connectors/<pk>/switch/": {"POST": SET_UP},
    "/connectors/<pk>/targets/<target>/": {"GET": LOOK, "POST": SET_UP},
    "/connectors/<pk>/targets/<target>/delete/": {"POST": SET_UP},
    "/connectors/<pk>/targets/add/": {"GET": SET_UP, "POST": SET_UP},
    "/connectors/<pk>/targets/import/": {"GET": SET_UP, "POST": SET_UP},
    "/connectors/add/<kind>/": {"GET": SET_UP, "POST": SET_UP},
    "/dependencies/": {"GET": READ},
    "/dependencies/import/": {"GET": SET_UP, "POST": SET_UP},
    "/dependencies/import/<token>/": {"GET": READ, "POST": READ},  # of nobody's: back
    "/dependencies/import/devices/": {"GET": SET_UP, "POST": SET_UP},
    "/dependencies/map/": {"GET": READ},
    "/healthz/live": {"GET": ALL},
    "/healthz/ready": {"GET": ALL},
    "/maintenance/": {"GET": READ},
    "/maintenance/<pk>/": {"GET": READ},
    "/maintenance/<pk>/delete/": {"GET": ACT, "POST": ACT},
    "/maintenance/<pk>/edit/": {"GET": ACT, "POST": ACT},
    "/maintenance/<pk>/end/": {"POST": ACT},
    "/maintenance/<pk>/extend/": {"POST": ACT},
    "/maintenance/new/": {"GET": ACT, "POST": ACT},
    "/maintenance/preview/": {"POST": READ},
    "/maintenance/suggest/<field>/": {"GET": READ},
    "/mappings/": {"GET": SET_UP},
    "/mappings/<kind>/<pk>/": {"GET": SET_UP},
    "/mappings/<kind>/<pk>/delete/": {"POST": SET_UP},
    "/mappings/<kind>/<pk>/row/": {"GET": SET_UP, "POST": SET_UP},
    "/mappings/<kind>/<pk>/switch/": {"POST": SET_UP},
    "/mappings/<kind>/add/": {"POST": SET_UP},
    "/mappings/import/": {"GET": SET_UP, "POST": SET_UP},
    "/mappings/import/<token>/": {"GET": SET_UP, "POST": SET_UP},
    "/mappings/unmapped/": {"GET": SET_UP},
    "/mappings/unmapped/ignore/": {"POST": SET_UP},
    "/reports/": {"GET": READ},
    "/reports/<key>.csv": {"GET": READ},
    "/system/": {"GET": READ},
    "/system/dead-letters/": {"GET": READ},
    "/system/dead-letters/<pk>/": {"GET": READ},
    "/system/dead-letters/<pk>/<action>/": {"POST": ACT},
    "/system/dead-letters/all/": {"POST": ACT},
    "/system/replay/": {"GET": SET_UP, "POST": SET_UP},
    "/system/replay/<pk>/": {"GET": SET_UP},
    "/system/replay/<pk>/stop/": {"POST": SET_UP},
    "/system/replay/mappings/": {"GET": SET_UP},
    "/traps/": {"GET": SET_UP},
    "/wall/": {"GET": READ},
    "/wall/<token>/": {"GET": ALL},  # the token is what lets in
    "/api/v1/docs/": {"GET": READ},
}

API: dict[str, Rule] = {
    "/api/v1/": {"GET": READ},
    "/api/v1/alerts/": {"GET": READ},
    "/api/v1/alerts/<pk>/": {"GET": READ},
    "/api/v1/alerts/<pk>/acknowledge/": {"POST": ACT},
    "/api/v1/alerts/<pk>/assign/": {"POST": ACT},
    "/api/v1/alerts/<pk>/history/": {"GET": READ},
    "/api/v1/alerts/<pk>/notes/": {"POST": ACT},
    "/api/v1/alerts/<pk>/reopen/": {"POST": ACT},
    "/api/v1/alerts/<pk>/resolve/": {"POST": ACT},
    "/api/v1/alerts/<pk>/unacknowledge/": {"POST": ACT},
    "/api/v1/alerts/bulk/": {"POST": ACT},
    "/api/v1/alerts/export/": {"GET": READ},
    "/api/v1/alerts/stats/": {"GET": READ},
    "/api/v1/connectors/": {"GET": LOOK, "POST": SET_UP},
    "/api/v1/connectors/<pk>/": {"GET": LOOK, "PATCH": SET_UP, "DELETE": SET_UP},
    "/api/v1/connectors/<pk>/disable/": {"POST": SET_UP},
    "/api/v1/connectors/<pk>/enable/": {"POST": SET_UP},
    "/api/v1/connectors/<pk>/poll/": {"POST": ACT},
    "/api/v1/connectors/<pk>/test/": {"POST": ACT},
    "/api/v1/dependencies/": {"GET": READ, "POST": SET_UP},
    "/api/v1/dependencies/<pk>/": {"GET": READ, "PUT": SET_UP, "PATCH": SET_UP, "DELETE": SET_UP},
    "/api/v1/dependencies/bulk/": {"POST": SET_UP},
    "/api/v1/dependencies/import/": {"POST": SET_UP},
    "/api/v1/devices/": {"GET": READ, "POST": SET_UP},
    "/api/v1/devices/<pk>/": {"GET": READ, "PUT": SET_UP, "PATCH": SET_UP, "DELETE": SET_UP},
    "/api/v1/devices/import/": {"POST": SET_UP},
    "/api/v1/maintenance-windows/": {"GET": READ, "POST": ACT},
    "/api/v1/maintenance-windows/<pk>/": {"GET": READ, "PUT": ACT, "PATCH": ACT, "DELETE": ACT},
    "/api/v1/maintenance-windows/<pk>/end/": {"POST": ACT},
    "/api/v1/maintenance-windows/<pk>/extend/": {"POST": ACT},
    "/api/v1/maintenance-windows/<pk>/preview/": {"GET": READ},
    "/api/v1/maintenance-windows/preview/": {"POST": READ},
    "/api/v1/mappings/": {"GET": SET_UP, "POST": SET_UP},
    "/api/v1/mappings/<pk>/": {"GET": SET_UP, "PATCH": SET_UP, "DELETE": SET_UP},
    "/api/v1/oid-mappings/": {"GET": SET_UP, "POST": SET_UP},
    "/api/v1/oid-mappings/<pk>/": {"GET": SET_UP, "PATCH": SET_UP, "DELETE": SET_UP},
    "/api/v1/raw-events/": {"GET": SET_UP},
    "/api/v1/raw-events/<pk>/": {"GET": SET_UP},
    "/api/v1/schema/": {"GET": READ},
    "/api/v1/reports/": {"GET": READ},
    "/api/v1/saved-views/": {"GET": READ, "POST": READ},
    "/api/v1/saved-views/<pk>/": {"GET": READ, "PUT": READ, "PATCH": SET_UP, "DELETE": SET_UP},  # nobody's: 400 or 403
    "/api/v1/targets/": {"GET": LOOK, "POST": SET_UP},
    "/api/v1/targets/<pk>/": {"GET": LOOK, "PATCH": SET_UP, "DELETE": SET_UP},
}

RULES = {**PAGES, **API}

# Plain ASGI applications before Django's, which have tests of their own; and Django's own administration, which lets in
# staff alone.
ASGI = {
    "^api/v1/events/?$": "tests/connectors/test_events_api.py",
    "^api/v1/webhooks/": "tests/connectors/test_webhooks.py",
    "ws/alerts/": "tests/alerts/test_hub.py",
    "ws/wall/": "tests/alerts/test_wall_socket.py",
    "ws/wall/<slug:token>/": "tests/alerts/test_wall_socket.py",
}
