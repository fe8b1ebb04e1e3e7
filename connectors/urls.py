"""Pages about what events mean."""

from django.urls import path, register_converter
from django.urls.converters import StringConverter

from connectors import views_import, views_inbox, views_mappings


class ValuesKind(StringConverter):
    """Rows that are edited in place."""

    regex = "severity|category"


register_converter(ValuesKind, "values")

app_name = "mappings"
urlpatterns = [
    path("", views_mappings.overview, name="overview"),
    path("<values:kind>/add/", views_mappings.add, name="value-add"),
    path("<values:kind>/<int:pk>/", views_mappings.edit, name="value"),
    path("<values:kind>/<int:pk>/row/", views_mappings.row, name="value-row"),
    path("<values:kind>/<int:pk>/switch/", views_mappings.switch, name="value-switch"),
    path("<values:kind>/<int:pk>/delete/", views_mappings.delete, name="value-delete"),
    path("unmapped/", views_inbox.unmapped, name="unmapped"),
    path("unmapped/ignore/", views_inbox.ignore, name="ignore"),
    path("import/", views_import.upload_page, name="import"),
    path("import/<slug:token>/", views_import.review_page, name="import-review"),
]
