from django.urls import path

from alerts import views

app_name = "alerts"

urlpatterns = [
    path("alerts/", views.board, name="board"),
    path("alerts/<uuid:pk>/", views.detail, name="detail"),
    *(
        path(f"alerts/<uuid:pk>/{action}/", views.act, {"action": action}, name=action)
        for action in ("acknowledge", "unacknowledge", "resolve", "note")
    ),
]
