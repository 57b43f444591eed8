"""Files that ask for labels and files that give them: in which column a label stands, and how to leave one out."""

import os
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import PyTree

from journeyman.datasets._column import AbstractColumn
from journeyman.datasets._flat import flat
from journeyman.datasets._open import Findings, find_columns, proper_name, split_name
from journeyman.datasets._read import read
from journeyman.datasets._table import Table, open_table
from journeyman.datasets._values import check_kinds
from journeyman.datasets._write import format_of, store
from journeyman.episodes import Episodes
from journeyman.parts import JourneymanError, refuse

COLUMNS = ("target_action", "action")
"""Where a label may stand."""


class Request(NamedTuple):
    """The file that asks for labels, and one sentence on how to give them in its format."""

    path: Path
    how: str


def ask_for_labels(visited: Episodes, path: str | os.PathLike[str], *, overwrite: bool = False) -> Request:
    """Write `visited` as `write` does, for somebody to say what should have been done in each of its steps.

    In CSV `action` is what the learner did and `target_action` stands blank beside it, so that what nobody labelled
    cannot be taken for a label. The other formats have no blank cell: there labels go into a file of their own. `read`
    understands either file as what was visited, and `labelled` reads the labels.

    Raises `JourneymanError` as `write` does.
    """
    path = Path(path)
    if format_of(path) == "CSV":
        how = (
            "Put into the blank 'target_action' of each row what should have been done there ('action' is what the"
            " learner did), or leave it blank where nobody can say (--partial), and save it under another name."
        )
        return Request(store(visited, path, _blank, overwrite=overwrite), how)
    name = "observation.KEY" if isinstance(visited.observation, dict) else "observation"
    how = (
        f"Save '{name}' and 'target_action', what should have been done there, as arrays with one row a label"
        f" (numpy.savez); the observations are those of journeyman.datasets.read('{path}').episodes.now."
    )
    return Request(store(visited, path, flat, overwrite=overwrite), how)


def _blank(visited: Episodes) -> list[dict[str, Any]]:
    first = ("observation", "action")
    return [
        {
            **{name: columns[name] for name in first},
            "target_action": np.full(columns["action"].shape, ""),
            **{name: column for name, column in columns.items() if name not in (*first, "target_action")},
        }
        for columns in flat(visited)
    ]


class Answers(NamedTuple):
    """The rows of a file of labels, as they stand there.

    `label`    what its label column holds, which `column` names
    `given`    rows with a label: whose cells are not all blank
    `action`   what its `action` says beside the label, where it has both in one form
    `notes`    what was assumed
    """

    observation: PyTree
    label: np.ndarray
    column: str
    given: np.ndarray
    action: np.ndarray | None
    notes: list[str]


def read_answers(path: Path) -> Answers:
    """The rows of the file at `path`; which column is the label is said in `labelled`.

    Raises `JourneymanError`, all at once, for a missing column, what is no number, and columns of unequal length.
    """
    with open_table(path, blank=COLUMNS) as table:
        found = _flat_rows(path, table) if table.header is None else _own_rows(path)
    counts = {np.shape(leaf)[0] for leaf in jax.tree.leaves(found.observation)}
    rows = len(found.label)
    if counts != {rows}:
        raise JourneymanError(
            f"{path.name}: 'observation' has {' and '.join(f'{count:,}' for count in sorted(counts))} rows and"
            f" '{found.column}' {rows:,}, and it cannot be told which label is whose; give one observation a label."
        )
    if not rows:
        raise JourneymanError(f"{path.name}: There is no row, so no label; fill in the file that was exported.")
    if found.action is not None and found.action.shape != found.label.shape:
        return found._replace(action=None)
    return found


def _own_rows(path: Path) -> Answers:
    own = read(path).episodes
    valid = np.asarray(own.valid)
    seen, target, action = (
        jax.tree.map(lambda leaf: np.asarray(leaf)[valid], tree) for tree in (own.now, own.target, own.action)
    )
    return Answers(seen, target, "target", np.ones(len(target), bool), action, [])


def _flat_rows(path: Path, table: Table) -> Answers:
    findings = Findings(list(table.notes))
    there = {proper_name(split_name(name)[0]) for name in table.arrays}
    label = next((name for name in COLUMNS if name in there), "action")
    columns, names = find_columns(table.arrays, findings, needed=("observation", label), ends=False)
    check_kinds(columns, findings)
    refuse([f"{path.name}: {problem}" for problem in findings.problems])
    is_column = lambda item: isinstance(item, AbstractColumn)  # noqa: E731
    held = {
        name: jax.tree.map(AbstractColumn.whole, columns[name], is_leaf=is_column)
        for name in ("observation", *COLUMNS)
        if name in columns
    }
    blank = table.blank.get(names[label])
    rows = held[label].shape[0]
    given = np.ones(rows, bool) if blank is None else ~np.all(blank.reshape(rows, -1), axis=1)
    action = held.get("action") if label != "action" else None
    return Answers(held["observation"], held[label], label, np.asarray(given), action, findings.notes)
