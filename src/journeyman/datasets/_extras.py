"""What a file may say of each step beside the usual: the intended action, its log-probability, who acted, and when."""

from typing import Any

import numpy as np

from journeyman.datasets._column import pieces
from journeyman.datasets._ends import Ends
from journeyman.datasets._open import Findings
from journeyman.datasets._values import fit_target
from journeyman.episodes import SYNTHETIC


def find_extras(columns: dict[str, Any], ends: Ends | None, world: Any, findings: Findings) -> dict[str, np.ndarray]:
    """Where the file has them: `target_action` like the actions, `log_prob` float32, `elapsed` int32, `source` int8."""
    found = {}
    for name in check_extras(columns, ends, findings):
        column = columns[name]
        if name == "target_action":
            found[name] = fit_target(column, columns["action"], world, findings)
        else:
            found[name] = column.astype(_TYPES[name])
    return found


_TYPES = {"log_prob": np.float32, "elapsed": np.int32, "source": np.int8}


def check_extras(columns: dict[str, Any], ends: Ends | None, findings: Findings) -> list[str]:
    """The names of those that can be read, each looked through piece by piece.

    What cannot be meant is a problem for the first three. A `source` that is not 0 to 3 is something else that goes by
    the same name, and is noted as not read.
    """
    found, steps = [], len(columns["action"])
    target = columns.get("target_action")
    if target is not None and target.shape != columns["action"].shape:
        findings.problems.append(
            f"'target_action' has shape {target.shape} and 'action' {columns['action'].shape}; give one a step in the"
            " same form, or leave it out."
        )
    elif target is not None:
        found.append("target_action")
        findings.notes.append("'target_action' is what is made likelier in place of 'action'.")
    for name in _TYPES:
        column = columns.get(name)
        if column is not None and (column.shape != (steps,) or column.dtype.kind not in "fiu"):
            findings.problems.append(
                f"'{name}' has dtype {column.dtype} and shape {column.shape}; give one number a step, or rename it."
            )
        elif column is not None and (name not in _CHECKS or _CHECKS[name](column, ends, findings)):
            found.append(name)
    return found


def _elapsed(column: Any, ends: Ends | None, findings: Findings) -> bool:
    """Whether the steps of each episode are counted by one, from 0 or later on."""
    if ends is None:
        return False
    begin = np.zeros(len(ends.start), np.float64)
    for start, piece in pieces(column):
        rows = np.arange(start, start + len(piece))
        episode = np.searchsorted(ends.stop, rows, side="right")
        step = rows - ends.start[episode]
        begin[episode[step == 0]] = piece[step == 0]
        wanted = begin[episode] + step
        wrong = np.flatnonzero((piece != wanted) | (piece < 0))
        if len(wrong):
            at = int(wrong[0])
            fault = (
                "; it counts the steps of each episode from 0 on, so repair it or leave it out."
                if piece[at] < 0
                else f" where {wanted[at]:.15g} should follow; count the steps of each episode by one, or leave it out."
            )
            findings.problems.append(f"'elapsed' is {piece[at]} at {ends.place(start + at)}{fault}")
            return False
    return True


def _source(column: Any, ends: Ends | None, findings: Findings) -> bool:
    del ends
    if all(np.isin(piece, np.arange(SYNTHETIC + 1)).all() for _, piece in pieces(column)):
        return True
    findings.notes.append(f"Not read: 'source', whose values are not 0 to {SYNTHETIC}.")
    return False


_CHECKS = {"elapsed": _elapsed, "source": _source}
