"""Which address leads where. Pages of an app are listed in its own urls.py."""

from django.contrib import admin
from django.contrib.auth.views import LoginView, LogoutView
from django.urls import include, path, re_path
from django.views.generic import RedirectView

from alerts.api import AlertViewSet
from alerts.api_export import AlertExportView
from alerts.api_reports import ReportView
from alerts.api_views import SavedViewViewSet
from alerts.api_windows import MaintenanceWindowViewSet
from connectors.api import MappingViewSet, OIDMappingViewSet
from connectors.api_connectors import ConnectorViewSet
from connectors.api_journal import RawEventViewSet
from connectors.api_targets import TargetViewSet
from dependencies.api import DependencyViewSet, DeviceViewSet
from opsconductor import health
from opsconductor.api_docs import SchemaView, docs
from opsconductor.router import Router, not_found

router = Router()
router.register("alerts", AlertViewSet)
router.register("connectors", ConnectorViewSet)
router.register("devices", DeviceViewSet)
router.register("dependencies", DependencyViewSet)
router.register("targets", TargetViewSet)
router.register("maintenance-windows", MaintenanceWindowViewSet)
router.register("mappings", MappingViewSet, basename="mapping")
router.register("oid-mappings", OIDMappingViewSet)
router.register("raw-events", RawEventViewSet)
router.register("saved-views", SavedViewViewSet)

urlpatterns = [
    path("", RedirectView.as_view(url="/alerts/")),
    path("", include("alerts.urls")),
    path("wall/", include("alerts.wall_urls")),
    path("maintenance/", include("alerts.window_urls")),
    path("dependencies/", include("dependencies.urls")),
    path("reports/", include("alerts.report_urls")),
    path("connectors/", include("connectors.connector_urls")),
    path("mappings/", include("connectors.urls")),
    path("traps/", include("connectors.trap_urls")),
    path("system/", include("connectors.system_urls")),
    path("system/", include("connectors.journal_urls")),
    path("accounts/login/", LoginView.as_view(), name="login"),
    path("accounts/logout/", LogoutView.as_view(), name="logout"),
    path("admin/", admin.site.urls),
    path("api/v1/schema/", SchemaView.as_view(), name="api-schema"),
    path("api/v1/docs/", docs, name="api-docs"),
    path("api/v1/reports/", ReportView.as_view(), name="api-reports"),
    path("api/v1/alerts/export/", AlertExportView.as_view(), name="alert-export"),
    path("api/v1/", include(router.urls)),
    re_path("^api/", not_found),
    path("healthz/live", health.live),
    path("healthz/ready", health.ready),
]
