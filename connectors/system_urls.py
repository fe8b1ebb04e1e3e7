"""The page about OpsConductor itself."""

from django.urls import path

from connectors import views_system

app_name = "system"
urlpatterns = [path("", views_system.overview, name="overview")]
