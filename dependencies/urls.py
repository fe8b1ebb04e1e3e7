"""Pages about who stands on whom."""

from django.urls import path

from dependencies import views, views_import

app_name = "dependencies"
urlpatterns = [
    path("", views.overview, name="overview"),
    path("map/", views.live_map, name="map"),
    path("import/", views_import.upload, {"what": "dependencies"}, name="import"),
    path("import/devices/", views_import.upload, {"what": "devices"}, name="import-devices"),
    path("import/<slug:token>/", views_import.review, name="import-review"),
]
