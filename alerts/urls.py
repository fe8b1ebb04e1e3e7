from django.urls import path

from alerts import views, views_search, views_windows

app_name = "alerts"

urlpatterns = [
    path("alerts/", views.board, name="board"),
    path("alerts/suggest/", views_search.suggest, name="suggest"),
    path("alerts/<uuid:pk>/", views.detail, name="detail"),
    path("alerts/<uuid:pk>/changes/", views.changes, name="changes"),
    path("alerts/<uuid:pk>/explains/", views.explains, name="explains"),
    path("alerts/<uuid:pk>/silence/", views_windows.silence, name="silence"),
    *(
        path(f"alerts/<uuid:pk>/{action}/", views.act, {"action": action}, name=action)
        for action in ("acknowledge", "unacknowledge", "resolve", "note")
    ),
]
