"""Row-level checks of a snapshot, and checks of one's own; what they find goes to `examine`."""

from headrace.components.check.result import ValidationResult

__all__ = ["ValidationResult"]
