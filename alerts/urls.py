from django.urls import path

from alerts import views, views_hand, views_saved, views_search, views_windows

app_name = "alerts"

urlpatterns = [
    path("alerts/", views.board, name="board"),
    path("alerts/views/", views_saved.saved, name="views"),
    path("alerts/views/tabs/", views_saved.counts, name="view-tabs"),
    path("alerts/views/<int:pk>/", views_saved.change, name="view"),
    path("alerts/groups/", views.group_rows, name="groups"),
    path("alerts/settings/", views_saved.settings, name="board-settings"),
    path("alerts/sound/", views_saved.sound, name="sound"),
    path("alerts/sound/mute/", views_saved.mute, name="mute"),
    path("alerts/act/", views_hand.act, name="act"),
    path("alerts/matching/", views_hand.matching, name="matching"),
    path("alerts/people/", views_hand.people, name="people"),
    path("alerts/undo/<uuid:token>/", views_hand.take_back, name="undo"),
    path("alerts/suggest/", views_search.suggest, name="suggest"),
    path("alerts/<uuid:pk>/", views.detail, name="detail"),
    path("alerts/<uuid:pk>/changes/", views.changes, name="changes"),
    path("alerts/<uuid:pk>/explains/", views.explains, name="explains"),
    path("alerts/<uuid:pk>/silence/", views_windows.silence, name="silence"),
    *(path(f"alerts/<uuid:pk>/{action}/", views.act, {"action": action}, name=action) for action in views.ACTS),
]
