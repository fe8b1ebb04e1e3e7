"""Form fields of the admin: lists by the line, JSON that says where it is wrong, secrets that only go in."""

from __future__ import annotations

import json
import re
from typing import Any

from django import forms
from django.contrib.postgres.forms import SimpleArrayField
from django.core.exceptions import ValidationError


class LinesField(SimpleArrayField):
    """A list, one entry a line; commas separate too."""

    widget = forms.Textarea

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.widget.attrs.update({"rows": 4, "cols": 50})

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(str(v) for v in value) if isinstance(value, list) else value

    def to_python(self, value: Any) -> Any:
        if isinstance(value, str):
            value = ",".join(part for line in re.split(r"[,\n]", value) if (part := line.strip()))
        return super().to_python(value)


class JSONTextField(forms.JSONField):
    """JSON, shown indented; an error names line and column."""

    widget = forms.Textarea

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.widget.attrs.update({"rows": 8, "cols": 80, "spellcheck": "false"})

    def prepare_value(self, value: Any) -> Any:
        if isinstance(value, str):
            return value  # what was typed, kept as it is beside its error
        return json.dumps(value, indent=2, ensure_ascii=False)

    def to_python(self, value: Any) -> Any:
        if isinstance(value, str) and value.strip():
            try:
                json.loads(value)
            except json.JSONDecodeError as error:
                raise ValidationError(
                    f"This is not JSON: {error.msg}, line {error.lineno}, column {error.colno}."
                ) from None
            except RecursionError:
                raise ValidationError("This JSON is nested too deeply.") from None
        found = super().to_python(value)
        # Emptied, or null: the column's default ([] or {}), which a model form hands over as the initial value.
        return self.initial() if found is None and callable(self.initial) else found


class SecretField(forms.CharField):
    """Goes in, never out: the page shows that it is set, and leaving it empty keeps it."""

    def __init__(self, *, is_set: bool, **kwargs: Any) -> None:
        attrs = {"autocomplete": "new-password", "size": 40}
        if is_set:
            attrs["placeholder"] = "set; leave empty to keep it"
        widget = forms.PasswordInput(attrs=attrs, render_value=False)
        super().__init__(required=not is_set, widget=widget, **kwargs)
