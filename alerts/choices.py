"""The words of the trade, as stored. Severity and priority are small integers in the database and words outside."""

from django.db import models


class Severity(models.IntegerChoices):
    """X.733 perceived severity, ordered: a larger number is worse."""

    CLEAR = 0, "clear"
    INFO = 1, "info"
    WARNING = 2, "warning"
    MINOR = 3, "minor"
    MAJOR = 4, "major"
    CRITICAL = 5, "critical"

    @classmethod
    def of(cls, word: str) -> "Severity":
        """The severity a word names; KeyError lists nothing, callers say which words exist."""
        return cls[word.upper()]


SEVERITY_WORDS: dict[int, str] = {s.value: s.label for s in Severity}


class Priority(models.IntegerChoices):
    P1 = 1, "P1"
    P2 = 2, "P2"
    P3 = 3, "P3"
    P4 = 4, "P4"
    P5 = 5, "P5"


class Level(models.TextChoices):
    """Impact and urgency."""

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


class Category(models.TextChoices):
    NETWORK = "network"
    POWER = "power"
    VIDEO = "video"
    WIRELESS = "wireless"
    SECURITY = "security"
    ENVIRONMENT = "environment"
    COMPUTE = "compute"
    STORAGE = "storage"
    APPLICATION = "application"
    UNKNOWN = "unknown"


class Condition(models.TextChoices):
    """What the source says of the problem; independent of what people did with it."""

    RAISED = "raised"
    CLEARED = "cleared"
    EXPIRED = "expired"
    CLOSED = "closed"


class Status(models.TextChoices):
    """Derived from condition, suppressions and acknowledgement; kept by the engine alone."""

    ACTIVE = "active"
    ACKNOWLEDGED = "acknowledged"
    SUPPRESSED = "suppressed"
    RESOLVED = "resolved"
    EXPIRED = "expired"


OPEN_STATUSES = (Status.ACTIVE, Status.ACKNOWLEDGED, Status.SUPPRESSED)


class SuppressionKind(models.TextChoices):
    """Why an alert is quiet. All but hold change the status to suppressed; hold only delays telling."""

    DEPENDENCY = "dependency"
    MAINTENANCE = "maintenance"
    SILENCE = "silence"
    FLAPPING = "flapping"
    STORM = "storm"
    HOLD = "hold"
    RELEASING = "releasing"


# `Alert.quiet` holds one bit for each kind that is in force, so that a batch reads a small number and no other table.
QUIET_BIT: dict[str, int] = {kind.value: 1 << number for number, kind in enumerate(SuppressionKind)}
SUPPRESSED_BITS = sum(bit for kind, bit in QUIET_BIT.items() if kind != SuppressionKind.HOLD)


class Outcome(models.TextChoices):
    """The bucket a received event ends in: exactly one each, so that the account of what was received balances."""

    OPENED = "opened"
    REPEATED = "repeated"
    CLEARED = "cleared"
    REOPENED = "reopened"
    LATE = "late"
    ORPHAN_CLEAR = "orphan_clear"
    DISABLED = "disabled"
    UNMAPPED = "unmapped"
    DUPLICATE = "duplicate"
    REJECTED = "rejected"
    RATE_LIMITED = "rate_limited"
    FAILED = "failed"
    PENDING = "pending"


class Action(models.TextChoices):
    """What a history row records."""

    OPENED = "opened"
    REOPENED = "reopened"
    SEVERITY_CHANGED = "severity_changed"
    CLEARED = "cleared"
    EXPIRED = "expired"
    ACKNOWLEDGED = "acknowledged"
    UNACKNOWLEDGED = "unacknowledged"
    RESOLVED = "resolved"
    NOTE = "note"
    SUPPRESSED = "suppressed"  # something that hides it came, or another thing hides it now
    RELEASED = "released"  # nothing hides it any more
    ANNOUNCED = "announced"  # told now, because what kept it quiet is over
    FLAPPING = "flapping"
    CALMED = "calmed"
    LISTED = "listed"  # it began and ended inside a maintenance window
    ASSIGNED = "assigned"
    UNDONE = "undone"  # a person took their own action back


class News(models.TextChoices):
    """Whether a history row is worth telling, and as what."""

    NONE = "none"
    PROBLEM = "problem"
    UPDATE = "update"
    RECOVERY = "recovery"
    DIGEST = "digest"


# ITIL matrix: impact x urgency. The first word is the impact.
PRIORITY_MATRIX: dict[tuple[str, str], int] = {
    ("high", "high"): 1,
    ("high", "medium"): 2,
    ("medium", "high"): 2,
    ("high", "low"): 3,
    ("medium", "medium"): 3,
    ("low", "high"): 3,
    ("medium", "low"): 4,
    ("low", "medium"): 4,
    ("low", "low"): 5,
}

# Impact and urgency an event has by its severity alone.
DEFAULT_IMPACT_URGENCY: dict[int, tuple[str, str]] = {
    Severity.CRITICAL: ("high", "high"),
    Severity.MAJOR: ("high", "medium"),
    Severity.MINOR: ("medium", "medium"),
    Severity.WARNING: ("medium", "low"),
    Severity.INFO: ("low", "low"),
    Severity.CLEAR: ("low", "low"),
}
