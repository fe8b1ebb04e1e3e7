"""Seeds after every migrate, once all apps have their tables."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.db.models.signals import m2m_changed, post_migrate


def _seed(sender: AppConfig, using: str, **kwargs: Any) -> None:
    from django.contrib.auth.management import create_permissions

    from opsconductor import seeds

    # Receivers run in the order they were connected, and auth's own comes after ours.
    create_permissions(sender, using=using, verbosity=0)
    seeds.seed(using)


def _admins_are_staff(sender: Any, instance: Any, action: str, reverse: bool, pk_set: set[int], **kwargs: Any) -> None:
    """Who joins the group admin may sign in to the admin pages; whoever leaves keeps what else they were given."""
    from django.contrib.auth.models import Group, User

    if action != "post_add":
        return
    group = Group.objects.filter(name="admin").first()
    if group is None:
        return
    if reverse and instance == group:
        User.objects.filter(pk__in=pk_set).update(is_staff=True)
    elif not reverse and group.pk in pk_set:
        instance.is_staff = True
        instance.save(update_fields=["is_staff"])


class OpsConductorConfig(AppConfig):
    name = "opsconductor"

    def ready(self) -> None:
        # The signal comes once per app; permissions of the last one exist only when it is through.
        from django.apps import apps
        from django.contrib.auth import get_user_model

        m2m_changed.connect(
            _admins_are_staff, sender=get_user_model().groups.through, dispatch_uid="opsconductor.staff"
        )
        last = list(apps.get_app_configs())[-1]
        post_migrate.connect(_seed, sender=last, dispatch_uid="opsconductor.seed")
