"""What may be asked of the lists of devices and dependencies."""

from __future__ import annotations

from functools import reduce
from operator import or_
from typing import Any

import django_filters
from django import forms
from django.db.models import F, Q, QuerySet
from drf_spectacular.utils import extend_schema_field

from alerts.filters import NetworksField, Words
from alerts.searchterms import WithinNetwork
from dependencies.models import Dependency, Device

MAX_SEARCH_WORDS = 10
YES_NO = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
TYPE_WORDS = {t.value: t.value for t in Dependency.Type}


class Addresses(Words):
    """Any of these addresses or networks, in any of these columns."""

    field_class = NetworksField

    def __init__(self, *columns: str, **kwargs: Any) -> None:
        super().__init__(noun="address", **kwargs)
        self.columns = columns

    def narrow(self, qs: QuerySet[Any], value: Any) -> QuerySet[Any]:
        wanted = Q()
        for column in self.columns:
            wanted |= Q(**{f"{column}__in": [v for v in value if isinstance(v, str)]})
            for network in (v for v in value if not isinstance(v, str)):
                wanted |= Q(WithinNetwork(F(column), str(network)))
        return qs.filter(wanted)


class DeviceAddresses(Addresses):
    """By any address a device answers to."""

    def narrow(self, qs: QuerySet[Any], value: Any) -> QuerySet[Any]:
        plain = [v for v in value if isinstance(v, str)]
        return super().narrow(qs, value) | qs.filter(aliases__overlap=plain) if plain else super().narrow(qs, value)


class Search(django_filters.Filter):
    """Every word occurs in one of the columns."""

    field_class = forms.CharField

    def __init__(self, *columns: str, **kwargs: Any) -> None:
        super().__init__(max_length=200, **kwargs)
        self.columns = columns

    def filter(self, qs: QuerySet[Any], value: Any) -> QuerySet[Any]:
        for word in (value or "").split()[:MAX_SEARCH_WORDS]:
            qs = qs.filter(reduce(or_, (Q(**{f"{column}__icontains": word}) for column in self.columns)))
        return qs


def _documented(help_text: str, filter_: django_filters.Filter) -> Any:
    filter_.extra["help_text"] = help_text
    return extend_schema_field({"type": "string", "description": help_text})(filter_)


class DependencyFilterSet(django_filters.FilterSet):
    device_ip = _documented("Addresses or networks of what depends.", Addresses("device_ip"))
    depends_on_ip = _documented("Addresses or networks of what is depended on.", Addresses("depends_on_ip"))
    ip = _documented("Addresses or networks on either side.", Addresses("device_ip", "depends_on_ip"))
    dependency_type = _documented(
        f"Comma list of: {', '.join(TYPE_WORDS)}.",
        Words(noun="type", words=TYPE_WORDS, field_name="dependency_type"),
    )
    redundancy_group = _documented("Names of redundancy groups.", Words(noun="group", field_name="redundancy_group"))
    auto_discovered = _documented("true or false.", Words(noun="answer", words=YES_NO, field_name="auto_discovered"))
    search = _documented(
        "Every word occurs in an address, the group, the part or the description.",
        Search("device_ip", "depends_on_ip", "redundancy_group", "depends_on_component", "description"),
    )


class DeviceFilterSet(django_filters.FilterSet):
    ip = _documented("Addresses or networks; an alias finds its device.", DeviceAddresses("ip"))
    site = _documented("Sites.", Words(noun="site", field_name="site"))
    role = _documented("Roles.", Words(noun="role", field_name="role"))
    vendor = _documented("Vendors.", Words(noun="vendor", field_name="vendor"))
    model = _documented("Models.", Words(noun="model", field_name="model"))
    search = _documented(
        "Every word occurs in the name, address, site, role, vendor or model.",
        Search("name", "ip", "site", "role", "vendor", "model"),
    )

    class Meta:
        model = Device
        fields: list[str] = []
