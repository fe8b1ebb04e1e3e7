from django.urls import path

from alerts import wallviews

app_name = "wall"

urlpatterns = [
    path("", wallviews.wall_page, name="wall"),
    path("<slug:token>/", wallviews.by_link, name="link"),
]
