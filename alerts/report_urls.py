"""The report pages."""

from django.urls import path

from alerts import views_reports

app_name = "reports"
urlpatterns = [
    path("", views_reports.overview, name="overview"),
    path("<slug:key>.csv", views_reports.table, name="table"),
]
