"""What the board's search field offers while somebody writes into it."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponseBase, JsonResponse, QueryDict
from django.utils.cache import patch_cache_control
from django.views.decorators.http import require_safe

from alerts.filters import AlertFilterSet
from alerts.models import Alert
from alerts.search import MAX_CHARACTERS
from alerts.suggest import suggestions, without
from opsconductor.portal import portal_page


@require_safe
@portal_page("alerts.view_alert")
def suggest(request: HttpRequest) -> HttpResponseBase:
    """`q` is the search, `at` the place of the caret in it, its end by default.

    Answers {from, to, suggestions: [{text, label, note, number, more}], error}: what is chosen takes the place of the
    characters in between; the error is of the words that are not being written, empty when there is none.
    """
    text = request.GET.get("q", "")[:MAX_CHARACTERS]
    at = request.GET.get("at", "")
    caret = int(at) if at.isascii() and at.isdigit() and len(at) < 5 else len(text)
    part, found = suggestions(text, caret)
    answer = JsonResponse(
        {
            "from": part.start,
            "to": part.end,
            "suggestions": [suggestion.as_json() for suggestion in found],
            "error": _wrong(request, without(text, part)),
        }
    )
    patch_cache_control(answer, no_store=True, private=True)
    return answer


def _wrong(request: HttpRequest, text: str) -> str:
    if not text:
        return ""
    data = QueryDict(mutable=True)
    data["search"] = text
    errors = AlertFilterSet(data=data, queryset=Alert.objects.none(), request=request).form.errors.get("search")
    return str(errors[0]) if errors else ""
