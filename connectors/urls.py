"""Pages about what traps mean."""

from django.urls import path

from connectors import views_import, views_inbox

app_name = "mappings"
urlpatterns = [
    path("unmapped/", views_inbox.unmapped, name="unmapped"),
    path("unmapped/ignore/", views_inbox.ignore, name="ignore"),
    path("import/", views_import.upload_page, name="import"),
    path("import/<slug:token>/", views_import.review_page, name="import-review"),
]
