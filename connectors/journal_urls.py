"""Pages about journalled events: reading them again, and those that could not be applied."""

from django.urls import path

from connectors import views_deadletters, views_replay

app_name = "journal"
urlpatterns = [
    path("replay/", views_replay.replays, name="replay"),
    path("replay/mappings/", views_replay.suggest_mappings, name="replay-mappings"),
    path("replay/<int:pk>/", views_replay.run_page, name="replay-run"),
    path("replay/<int:pk>/stop/", views_replay.stop, name="replay-stop"),
    path("dead-letters/", views_deadletters.dead_letters, name="dead-letters"),
    path("dead-letters/all/", views_deadletters.act_on_all, name="dead-letters-all"),
    path("dead-letters/<int:pk>/", views_deadletters.dead_letter, name="dead-letter"),
    path("dead-letters/<int:pk>/<slug:action>/", views_deadletters.act_on_one, name="dead-letter-act"),
]
