"""What a check found: a number, what it should be, and how far it may be off."""

import dataclasses
from typing import Literal, NamedTuple, SupportsFloat

Side = Literal["equal", "at least", "at most"]


class Check(NamedTuple):
    """`value` against `expected`, which it may miss by `tolerance`. A nan never passes."""

    name: str
    value: float
    expected: float
    tolerance: float
    passed: bool
    detail: str

    @classmethod
    def of(
        cls,
        name: str,
        value: SupportsFloat,
        expected: SupportsFloat,
        tolerance: SupportsFloat,
        detail: str,
        *,
        side: Side = "equal",
    ) -> "Check":
        """Judge a number: by its distance from `expected`, or, where it is a bound, by the side it lies on."""
        found, wanted, room = float(value), float(expected), float(tolerance)
        above, below = found - wanted <= room, wanted - found <= room
        passed = {"equal": above and below, "at least": below, "at most": above}[side]
        return cls(name, found, wanted, room, bool(passed), detail)

    def __str__(self) -> str:
        mark = "pass" if self.passed else "FAIL"
        return (
            f"{mark}  {self.name}: {self.value:.6g}, expected {self.expected:.6g} ± {self.tolerance:.2g}; {self.detail}"
        )


@dataclasses.dataclass(frozen=True)
class Verification:
    """All checks of one thing. `str` shows them line by line; nothing is raised by a failure."""

    subject: str
    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        """Whether every check passed."""
        return all(check.passed for check in self.checks)

    @property
    def failures(self) -> tuple[str, ...]:
        """The names of the checks that failed."""
        return tuple(check.name for check in self.checks if not check.passed)

    def __getitem__(self, name: str) -> Check:
        return {check.name: check for check in self.checks}[name]

    def __str__(self) -> str:
        return "\n".join([f"{self.subject}: {'passed' if self.passed else 'FAILED'}", *(f"  {c}" for c in self.checks)])
