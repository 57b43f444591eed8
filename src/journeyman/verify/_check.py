"""The outcome of a check."""

import dataclasses
from collections.abc import Iterable


@dataclasses.dataclass(frozen=True)
class Check:
    """A measured `value` against the `expected` one: `passed` where they differ by at most `tolerance`.

    `name` says what was measured and where, `detail` in a sentence what the numbers mean.
    """

    name: str
    value: float
    expected: float
    tolerance: float
    passed: bool
    detail: str = ""

    def __str__(self) -> str:
        verdict = "passed" if self.passed else "FAILED"
        numbers = f"{self.value:.6g} against {self.expected:.6g} ± {self.tolerance:.2g}"
        return f"{verdict}: {self.name}: {numbers}. {self.detail}".rstrip()


def failures(checks: Iterable[Check]) -> str:
    """A line for each check that did not pass; empty when all did. For `assert not failures(...), failures(...)`."""
    return "\n".join(str(check) for check in checks if not check.passed)
