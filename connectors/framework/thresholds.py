"""Limits with hysteresis. Pure: what is raised is compared with the limit less the way back, so that a value that
trembles around its limit raises once."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from connectors.framework.base import BaseConnector, Finding, Target, well


@dataclass(frozen=True, slots=True)
class Level:
    """One step of a measure: the alert type it raises beyond the threshold of this key."""

    alert_type: str
    threshold: str


@dataclass(frozen=True, slots=True)
class Measure:
    """A number and its levels, the worst first; only the worst one that is passed is raised, the others are well.

    `above`: larger is worse. `label` and `unit` are for the sentence: "Temperature 71 °C, limit 70 °C".
    """

    label: str
    unit: str
    levels: Sequence[Level]
    above: bool = True
    digits: int = 0

    def judge(
        self, connector: BaseConnector, target: Target, value: float | None, component: str = "", of: str = ""
    ) -> list[Finding]:
        """Findings of one reading; nothing for none, because a sensor that does not answer says neither."""
        if value is None:
            return []
        if not target.raised and "thresholds" not in target.settings:
            # Nearly always: nothing was wrong before, and nothing is now.
            for level in self.levels:
                limit = connector.limit(level.threshold)
                if value > limit if self.above else value < limit:
                    break
            else:
                return [well(level.alert_type, component) for level in self.levels]
        found: list[Finding] = []
        passed = False
        limits = connector.manifest.limits
        for level in self.levels:
            limit = connector.limit(level.threshold, target)
            back = limits[level.threshold].hysteresis if (level.alert_type, component) in target.raised else 0.0
            if passed or not (value > limit - back if self.above else value < limit + back):
                found.append(well(level.alert_type, component))
                continue
            passed = True
            sentence = f"{of} {self._sentence(value)}" if of else self._sentence(value)
            found.append(
                Finding(
                    level.alert_type,
                    component,
                    True,
                    sentence.strip(),
                    f"Limit {self._number(limit)}{self._unit}",
                    {"value": value, "limit": limit},
                )
            )
        return found

    def _sentence(self, value: float) -> str:
        return f"{self.label} {self._number(value)}{self._unit}"

    def _number(self, value: float) -> str:
        return f"{value:.{self.digits}f}" if self.digits or value != int(value) else f"{int(value)}"

    @property
    def _unit(self) -> str:
        return f" {self.unit}" if self.unit and self.unit != "%" else self.unit


def state(alert_type: str, is_wrong: bool, component: str = "", title: str = "", message: str = "") -> Finding:
    """A finding of something that is either well or not."""
    return Finding(alert_type, component, True, title, message) if is_wrong else well(alert_type, component)


def raised(findings: Iterable[Finding]) -> frozenset[tuple[str, str]]:
    return frozenset(finding.key for finding in findings if finding.is_raised)


def held(finding: Finding, counts: dict[str, int], polls: int, before: Collection[tuple[str, str]] = ()) -> Finding:
    """Wrong only when it was so for `polls` polls in a row; `counts` is kept in the memory of the target."""
    key = f"{finding.alert_type} {finding.component}".strip()
    if not finding.is_raised:
        counts.pop(key, None)
        return finding
    counts[key] = min(counts.get(key, 0) + 1, polls)
    if counts[key] >= polls or finding.key in before:
        return finding
    return well(finding.alert_type, finding.component)
