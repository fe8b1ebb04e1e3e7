"""The page that says what became of a trap."""

from django.urls import path

from connectors import views_traps

app_name = "traps"
urlpatterns = [path("", views_traps.why, name="why")]
