from django.urls import path

from alerts import views_windows as views

app_name = "maintenance"

urlpatterns = [
    path("", views.overview, name="overview"),
    path("new/", views.add, name="add"),
    path("preview/", views.preview, name="preview"),
    path("suggest/<slug:field>/", views.suggest, name="suggest"),
    path("<int:pk>/", views.detail, name="detail"),
    path("<int:pk>/edit/", views.edit, name="edit"),
    path("<int:pk>/extend/", views.extend, name="extend"),
    path("<int:pk>/end/", views.end, name="end"),
    path("<int:pk>/delete/", views.delete, name="delete"),
]
