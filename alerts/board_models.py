"""What people keep of their board: views by name, and how they want it to look and sound."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.deletion import CASCADE, SET_NULL
from django.utils import timezone


def keep_shared(collector: Any, field: Any, views: Any, using: str) -> None:
    """When an account is deleted: its private views go with it, the shared ones stay and belong to nobody."""
    SET_NULL(collector, field, views.filter(shared=True), using)
    CASCADE(collector, field, views.filter(shared=False), using)


class SavedView(models.Model):
    """A board somebody comes back to. `savedviews` checks and changes it.

    `query` is the filters as in the board's address, without order and grouping, which have columns of their own. A
    filter may become invalid later (a connector that is deleted): such a view says so wherever it is shown.
    """

    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=keep_shared, related_name="saved_views"
    )
    name = models.CharField(max_length=60)
    query = models.TextField(blank=True, default="", help_text="severity=critical,major&site=North")
    shared = models.BooleanField(default=False, help_text="Everybody who sees the board sees the view.")
    columns = ArrayField(
        models.CharField(max_length=20), default=list, blank=True, help_text="In this order. Empty: the reader's own."
    )
    ordering = models.CharField(max_length=100, blank=True, default="", help_text="-severity. Empty: the reader's own.")
    grouping = models.CharField(max_length=10, blank=True, default="", help_text="device, site, root or type.")
    position = models.IntegerField(default=0, help_text="The smallest comes first.")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["position", "id"]
        permissions = [("share_savedview", "Can share views with everybody")]
        constraints = [
            models.UniqueConstraint(fields=["owner", "name"], name="savedview_name_once_per_owner"),
            models.CheckConstraint(
                condition=models.Q(owner__isnull=False) | models.Q(shared=True), name="savedview_of_nobody_is_shared"
            ),
        ]
        # Everybody's board: the shared ones beside the own.
        indexes = [models.Index(fields=["position", "id"], condition=models.Q(shared=True), name="savedview_shared")]

    def __str__(self) -> str:
        return self.name


class BoardPreferences(models.Model):
    """How one person's board looks and sounds; absent means the defaults, which are silent."""

    class Density(models.TextChoices):
        COMFORTABLE = "comfortable"
        COMPACT = "compact"

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, primary_key=True, on_delete=models.CASCADE, related_name="board_preferences"
    )
    columns = ArrayField(models.CharField(max_length=20), default=list, blank=True)
    density = models.CharField(max_length=12, choices=Density, default=Density.COMFORTABLE)
    ordering = models.CharField(max_length=100, blank=True, default="")
    start_view = models.ForeignKey(SavedView, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    sound_on = models.BooleanField(default=False, help_text="False: muted, whatever else is chosen.")
    volume = models.PositiveSmallIntegerField(default=60, help_text="Percent.")
    sounds = ArrayField(models.CharField(max_length=10), default=list, blank=True, help_text="Severities that sound.")
    notifications = ArrayField(
        models.CharField(max_length=10), default=list, blank=True, help_text="Severities the browser notifies of."
    )

    class Meta:
        verbose_name_plural = "board preferences"
        default_permissions = ()

    def __str__(self) -> str:
        return f"Board of {self.user}"

    @classmethod
    def of(cls, user: Any) -> BoardPreferences:
        """What is in force; not saved where nobody has chosen anything."""
        return cls.objects.filter(user_id=user.pk).first() or cls(user_id=user.pk)
