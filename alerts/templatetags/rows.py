"""`{% cell "device" %}<td>…</td>{% endcell %}`: a piece of a row, rendered when a board wants it."""

from __future__ import annotations

from django import template
from django.template.base import Node, NodeList, Parser, Token
from django.template.context import Context

register = template.Library()


class CellNode(Node):
    def __init__(self, key: str, nodelist: NodeList) -> None:
        self.key, self.nodelist = key, nodelist

    def render(self, context: Context) -> str:
        cells: dict[str, str] = context["cells"]
        if self.key in cells:
            cells[self.key] = self.nodelist.render(context)
        return ""


@register.tag
def cell(parser: Parser, token: Token) -> CellNode:
    _, key = token.split_contents()
    nodelist = parser.parse(("endcell",))
    parser.delete_first_token()
    return CellNode(key.strip("\"'"), nodelist)
