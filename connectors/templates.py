"""Titles that engineers write: Jinja in a sandbox where attributes are refused and what is missing is empty."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from jinja2 import Template, TemplateRuntimeError, TemplateSyntaxError, Undefined, nodes
from jinja2.filters import do_round
from jinja2.sandbox import ImmutableSandboxedEnvironment

# What a title needs; the others can be asked for memory or time without bound (center, format ...).
FILTERS = {
    "abs", "capitalize", "default", "d", "first", "float", "int", "last", "length",
    "lower", "round", "string", "title", "trim", "truncate", "upper",
}  # fmt: skip

# A title is a sentence with values and choices. What could loop or grow is not in the list: for, macro, call, import.
NODES = (
    nodes.Template, nodes.Output, nodes.TemplateData, nodes.If, nodes.Assign, nodes.Name, nodes.Const, nodes.Getitem,
    nodes.Filter, nodes.Test, nodes.CondExpr, nodes.Compare, nodes.Operand, nodes.And, nodes.Or,
    nodes.Not,
    nodes.Concat, nodes.Add, nodes.Sub, nodes.Mul, nodes.Div, nodes.FloorDiv, nodes.Mod, nodes.Neg, nodes.Pos,
    nodes.Slice, nodes.List, nodes.Tuple, nodes.Dict, nodes.Pair, nodes.Keyword,
)  # fmt: skip
SOURCE_MAX = 500
DIGITS_MAX = 20
GROWN_MAX = 2_000  # characters of what a filter may make longer


class _Empty(Undefined):
    """Missing is empty, at any depth; so a template reads well when a varbind is absent."""

    def _nothing(self, *_: Any) -> _Empty:
        return self

    __getitem__ = _nothing  # type: ignore[assignment]
    # Arithmetic with what is missing is missing too, instead of an error.
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = _nothing  # type: ignore[assignment]
    __truediv__ = __rtruediv__ = __floordiv__ = __rfloordiv__ = __mod__ = __rmod__ = _nothing  # type: ignore[assignment]


class _Sandbox(ImmutableSandboxedEnvironment):
    """No attribute of any object is reachable, only items (`vb['1.3.6...']`); nothing multiplies text."""

    intercepted_binops = frozenset({"*", "%"})

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        return False

    def getattr(self, obj: Any, attribute: str) -> Any:
        return self.undefined(name=attribute)

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        if isinstance(left, Undefined) or isinstance(right, Undefined):
            return self.undefined()
        if not (isinstance(left, int | float) and isinstance(right, int | float)):
            raise TemplateRuntimeError(f"“{operator}” is not available for these values in a title")
        return super().call_binop(context, operator, left, right)


# Not optimized: constant folding would run an engineer's expressions while compiling.
_environment = _Sandbox(undefined=_Empty, autoescape=False, cache_size=0, optimized=False)
_environment.globals.clear()
_environment.filters = {name: function for name, function in _environment.filters.items() if name in FILTERS}


def _replace(value: Any, old: str, new: str) -> str:
    return str(value)[:GROWN_MAX].replace(str(old), str(new))[:GROWN_MAX]


def _join(values: Any, between: str = "") -> str:
    return str(between)[:20].join(str(value)[:200] for value in list(values)[:100])[:GROWN_MAX]


def _round(value: Any, precision: int = 0, method: str = "common") -> Any:
    return do_round(value, max(-DIGITS_MAX, min(int(precision), DIGITS_MAX)), method)  # type: ignore[arg-type]


# Jinja's own could be chained to grow without end, or asked for ten to the power of a million.
_environment.filters |= {"replace": _replace, "join": _join, "round": _round}


@lru_cache(maxsize=10_000)
def compiled(source: str) -> Template:
    """Raises jinja2.TemplateError with the reason when the source is wrong or asks for more than a title may."""
    if len(source) > SOURCE_MAX:
        raise TemplateSyntaxError(f"it is longer than {SOURCE_MAX} characters", 1)
    try:
        _check(_environment.parse(source))
        return _environment.from_string(source)
    except RecursionError:
        raise TemplateSyntaxError("it is nested too deeply", 1) from None


def _check(tree: nodes.Template) -> None:
    """Only what is needed, and nothing that grows: what was set may not be used to set something else."""
    assigned: set[str] = set()
    for node in tree.find_all(nodes.Node):
        if not isinstance(node, NODES) and not isinstance(node, nodes.Helper | nodes.EvalContextModifier):
            what = "attribute" if isinstance(node, nodes.Getattr) else type(node).__name__.lower()
            raise TemplateSyntaxError(f"“{what}” is not available in a title", node.lineno)
    for statement in tree.find_all(nodes.Assign):
        names = {name.name for name in statement.node.find_all(nodes.Name) if name.ctx == "load"}
        if names & assigned:
            raise TemplateSyntaxError("a value that was set may not be used to set another", statement.lineno)
        target = statement.target
        assigned |= {target.name} if isinstance(target, nodes.Name) else {n.name for n in target.find_all(nodes.Name)}
        if names & assigned:
            raise TemplateSyntaxError("a value may not be set from itself", statement.lineno)


def render(source: str, context: Mapping[str, Any]) -> str:
    """One line of text. Raises jinja2.TemplateError and whatever odd values make a template raise."""
    return " ".join(compiled(source).render(context).split())
