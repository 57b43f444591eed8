"""The verbs of the command line, made from the types of the sessions."""

import dataclasses
import functools
import operator
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from journeyman._refusals import EVALUATION_SEED
from journeyman._settings import (
    ConvertSettings,
    CorrectSettings,
    DiagnoseCloneSettings,
    DiagnoseCompoundingSettings,
    DiagnoseGradientSettings,
    DiagnoseStepSettings,
    ExportSettings,
    FiguresSettings,
    FitSettings,
    ImportSettings,
    ImproveSettings,
    LintSettings,
    QuickstartSettings,
)


@dataclasses.dataclass(frozen=True)
class Evaluate:
    """Evaluate a policy: exactly so many episodes, on start seeds apart from training's."""

    policy: Annotated[Path, tyro.conf.Positional]
    """A run folder or an artefact."""
    world: str | None = None
    """Where, for instance Hopper-v5; a run of `fit` or `improve` knows its own."""
    options: tuple[str, ...] = ()
    """Options of the world, as NAME=VALUE, for instance max_episode_steps=200."""
    episodes: int = 50
    seed: int = EVALUATION_SEED
    """Of the start states."""
    score: Literal["return", "best reward"] = "return"
    """What an episode counts: the sum of its rewards or the highest one."""
    json: bool = False
    """Print JSON."""


@dataclasses.dataclass(frozen=True)
class Improve(ImproveSettings):
    """Improve a policy in a world by policy gradients, or imitate in it (DAgger, DART, GAIL), and write a report."""

    lambda_: Annotated[float | None, tyro.conf.arg(name="lambda")] = None  # a word that Python keeps for itself
    """Generalised advantages' λ; 1 for REINFORCE, 0.95 for the others."""


@dataclasses.dataclass(frozen=True)
class DiagnoseGradient(DiagnoseGradientSettings):
    """How good the gradient is: estimators side by side, the batch they need, and where their variance comes from."""

    lambda_: Annotated[float, tyro.conf.arg(name="lambda")] = 0.95
    """Of the generalised advantages."""


@dataclasses.dataclass(frozen=True)
class DiagnoseStep(DiagnoseStepSettings):
    """What one step does: covariant or not, realised against predicted KL, the return along the direction."""

    lambda_: Annotated[float, tyro.conf.arg(name="lambda")] = 0.95
    """Of the generalised advantages."""


@dataclasses.dataclass(frozen=True)
class DiagnoseClone(DiagnoseCloneSettings):
    """Why a clone is bad: the causes side by side, from refits of its recipe, and what cannot be told."""

    run: Annotated[Path, tyro.conf.Positional]
    """The run folder of `journeyman fit`."""


@dataclasses.dataclass(frozen=True)
class Diagnose:
    """Say why a policy learns slowly or a clone fails: its gradient's noise, what one step does, what errors cost."""

    of: (
        Annotated[DiagnoseGradient, tyro.conf.subcommand("gradient", prefix_name=False)]
        | Annotated[DiagnoseStep, tyro.conf.subcommand("step", prefix_name=False)]
        | Annotated[DiagnoseCompoundingSettings, tyro.conf.subcommand("compounding", prefix_name=False)]
        | Annotated[DiagnoseClone, tyro.conf.subcommand("clone", prefix_name=False)]
    )


@dataclasses.dataclass(frozen=True)
class DataLint(LintSettings):
    """Say on one page what is in a file of demonstrations and what is wrong with it. 0: nothing; 1: something."""

    data: Annotated[Path, tyro.conf.Positional]
    """An npz, HDF5 or CSV file, a folder of Minari's, LeRobot's or `imitation`'s, or the id of a Minari data set."""


@dataclasses.dataclass(frozen=True)
class DataConvert(ConvertSettings):
    """Read demonstrations in one format and write them in another; the name of the result says which."""

    data: Annotated[Path, tyro.conf.Positional]
    """An npz, HDF5 or CSV file, a folder of Minari's, LeRobot's or `imitation`'s, or the id of a Minari data set."""
    out: Annotated[Path, tyro.conf.Positional]
    """NAME.npz, NAME.h5, NAME.csv, or NAME-v0 for a Minari folder."""


@dataclasses.dataclass(frozen=True)
class Data:
    """Look through a file of demonstrations for faults, or write it in another format."""

    of: (
        Annotated[DataLint, tyro.conf.subcommand("lint", prefix_name=False)]
        | Annotated[DataConvert, tyro.conf.subcommand("convert", prefix_name=False)]
    )


@dataclasses.dataclass(frozen=True)
class DaggerExport(ExportSettings):
    """Let a policy act, and write the states that it visits, for somebody to say what should have been done there."""

    policy: Annotated[Path, tyro.conf.Positional]
    """A run folder or an artefact."""


@dataclasses.dataclass(frozen=True)
class DaggerImport(ImportSettings):
    """Read labels for visited states back, and write them with the demonstrations as one file to clone from."""

    visited: Annotated[Path, tyro.conf.Positional]
    """What was exported."""
    labels: Annotated[Path, tyro.conf.Positional]
    """The labels: one row each, `observation` as exported and in `target_action` what should have been done there."""


@dataclasses.dataclass(frozen=True)
class Dagger:
    """DAgger with an expert that is a file: a person, or a program that does not run here."""

    of: (
        Annotated[DaggerExport, tyro.conf.subcommand("export", prefix_name=False)]
        | Annotated[DaggerImport, tyro.conf.subcommand("import", prefix_name=False)]
    )


@dataclasses.dataclass(frozen=True)
class Report:
    """Evaluate what a run has made and write its report.html again."""

    run: Annotated[Path, tyro.conf.Positional]
    """The run folder."""


@dataclasses.dataclass(frozen=True)
class Resume:
    """Continue a run from its newest complete checkpoint, from its folder and the data that it names."""

    run: Annotated[Path, tyro.conf.Positional]
    """The run folder."""


@dataclasses.dataclass(frozen=True)
class Worlds:
    """List the worlds that can be acted in here."""

    pattern: Annotated[str, tyro.conf.Positional] = ""
    """Part of a name, or a pattern such as *Hopper*."""


@dataclasses.dataclass(frozen=True)
class Figures(FiguresSettings):
    """Draw the figures of a lecture from runs: SVG and PNG, light and dark, captions, numbers and a page."""

    of: Annotated[Literal["policy-gradient", "imitation"], tyro.conf.Positional]
    """Which set."""


VERBS: dict[str, Any] = {
    "quickstart": QuickstartSettings,
    "data": Data,
    "dagger": Dagger,
    "fit": FitSettings,
    "correct": CorrectSettings,
    "improve": Improve,
    "evaluate": Evaluate,
    "diagnose": Diagnose,
    "figures": Figures,
    "report": Report,
    "resume": Resume,
    "worlds": Worlds,
}
_GROUPS = (Data, Dagger, Diagnose)
"""Verbs that are followed by another."""


def _named(name: str, verb: Any) -> Any:
    found = Annotated[verb, tyro.conf.subcommand(name)]
    return Annotated[found, tyro.conf.OmitArgPrefixes] if verb in _GROUPS else found


Verb: Any = functools.reduce(operator.or_, (_named(name, verb) for name, verb in VERBS.items()))
"""Any of them, for tyro."""
