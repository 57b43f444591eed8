"""Gradient ascent, dynamic programming and model-based optimisation on the same tasks, from the benchmark's curves."""

import functools
import json
from pathlib import Path
from typing import Any

import numpy as np

from journeyman.figures._model import Computed, Effort, Figure
from journeyman.figures._wider_drawn import draw_alternatives
from journeyman.parts import JourneymanError


def alternatives(curves: Path) -> Figure:
    """The figure of what `python -m benchmarks.alternatives --json` printed into the file `curves`.

    Raises `JourneymanError` for a file that is not there or holds something else.
    """
    try:
        tasks = json.loads(curves.read_text(encoding="utf-8"))["tasks"]
        read = {task: _curves(one["curves"]) for task, one in tasks.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise JourneymanError(
            f"'{curves}' holds no curves of the alternatives ({type(error).__name__}: {error}); make it with: python -m"
            " benchmarks.alternatives --json"
        ) from error
    return Figure(
        "alternatives", "Three ways to a good policy", functools.partial(_computed, read), draw_alternatives, 3.9
    )


def _curves(found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    keys = ("mean", "low", "high")
    return {
        label: {
            "kind": one["kind"],
            "seeds": one["seeds"],
            "evaluations": np.asarray(one["evaluations"], float),
            "gap": np.asarray([one["gap"][key] for key in keys], float).T,
        }
        for label, one in found.items()
    }


def _computed(read: dict[str, dict[str, dict[str, Any]]], effort: Effort) -> Computed:
    """Nothing is run: the benchmark has."""
    del effort
    arrays = {
        task: {label: (c["evaluations"], c["gap"]) for label, c in curves.items()} for task, curves in read.items()
    }
    numbers = {
        task: {
            label: {
                "kind": c["kind"],
                "evaluations": int(c["evaluations"][-1]),
                "gap": dict(zip(("mean", "low", "high"), c["gap"][-1].tolist(), strict=True)),
                "seeds": c["seeds"],
            }
            for label, c in curves.items()
        }
        for task, curves in read.items()
    }
    ends = "; ".join(
        f"{task}: " + ", ".join(f"{label} {one['gap']['mean']:.2g}" for label, one in curves.items())
        for task, curves in numbers.items()
    )
    caption = (
        "How far below the best return each way is, by evaluations: steps of the world (gradient ascent), backups"
        " (dynamic programming), steps of the model in one episode (planners, which ask for them again in every"
        f" episode). The gap at the end of each curve: {ends}."
    )
    most = max(one["seeds"] for curves in numbers.values() for one in curves.values())
    return Computed(arrays, numbers, caption, f"up to {most} seeds of each learner; bands: 95 % intervals")
