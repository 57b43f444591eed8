"""What a file may say of each step beside the usual: the intended action, its log-probability, who acted, and when."""

from typing import Any

import numpy as np

from journeyman.datasets._ends import Ends
from journeyman.datasets._open import Findings
from journeyman.datasets._values import fit_target
from journeyman.episodes import SYNTHETIC


def find_extras(columns: dict[str, Any], ends: Ends | None, world: Any, findings: Findings) -> dict[str, np.ndarray]:
    """`target_action` like the actions, `log_prob` float32, `elapsed` int32 and `source` int8 where the file has them.

    What cannot be meant is a problem for the first three. A `source` that is not 0 to 3 is something else that goes by
    the same name, and is noted as not read.
    """
    found, steps = {}, len(columns["action"])
    target = columns.get("target_action")
    if target is not None and target.shape != columns["action"].shape:
        findings.problems.append(
            f"'target_action' has shape {target.shape} and 'action' {columns['action'].shape}; give one a step in the"
            " same form, or leave it out."
        )
    elif target is not None:
        found["target_action"] = fit_target(target, columns["action"], world, "target_action", findings)
        findings.notes.append("'target_action' is what is made likelier in place of 'action'.")
    for name in ("log_prob", "elapsed", "source"):
        column = columns.get(name)
        if column is not None and (column.shape != (steps,) or column.dtype.kind not in "fiu"):
            findings.problems.append(
                f"'{name}' has dtype {column.dtype} and shape {column.shape}; give one number a step, or rename it."
            )
        elif column is not None:
            _READ[name](column, ends, found, findings)
    return found


def _log_prob(column: np.ndarray, ends: Ends | None, found: dict[str, np.ndarray], findings: Findings) -> None:
    del ends, findings
    found["log_prob"] = column.astype(np.float32)


def _elapsed(column: np.ndarray, ends: Ends | None, found: dict[str, np.ndarray], findings: Findings) -> None:
    if ends is None:
        return
    steps = np.arange(len(column)) - np.repeat(ends.start, ends.stop - ends.start)
    wanted = np.repeat(column[ends.start], ends.stop - ends.start) + steps
    wrong, negative = np.flatnonzero(column != wanted), np.flatnonzero(column < 0)
    if len(negative):
        row = int(negative[0])
        findings.problems.append(
            f"'elapsed' is {column[row]} at {ends.place(row)}; it counts the steps of each episode from 0 on, so repair"
            " it or leave it out."
        )
    elif len(wrong):
        row = int(wrong[0])
        findings.problems.append(
            f"'elapsed' is {column[row]} at {ends.place(row)} where {wanted[row]} should follow; count the steps of"
            " each episode by one, or leave it out."
        )
    else:
        found["elapsed"] = column.astype(np.int32)


def _source(column: np.ndarray, ends: Ends | None, found: dict[str, np.ndarray], findings: Findings) -> None:
    del ends
    if np.isin(column, np.arange(SYNTHETIC + 1)).all():
        found["source"] = column.astype(np.int8)
    else:
        findings.notes.append(f"Not read: 'source', whose values are not 0 to {SYNTHETIC}.")


_READ = {"log_prob": _log_prob, "elapsed": _elapsed, "source": _source}
