"""The pages of connectors."""

from django.urls import path

from connectors import views_connectors as views

app_name = "connectors"
urlpatterns = [
    path("", views.overview, name="overview"),
    path("add/<slug:kind>/", views.add, name="add"),
    path("<int:pk>/", views.connector, name="connector"),
    path("<int:pk>/runs/", views.runs, name="runs"),
    path("<int:pk>/settings/", views.save, name="save"),
    path("<int:pk>/switch/", views.switch, name="switch"),
    path("<int:pk>/poll/", views.poll, name="poll"),
    path("<int:pk>/targets/add/", views.target, name="target-add"),
    path("<int:pk>/targets/import/", views.target_import, name="target-import"),
    path("<int:pk>/targets/<int:target>/", views.target, name="target"),
    path("<int:pk>/targets/<int:target>/delete/", views.target_delete, name="target-delete"),
]
