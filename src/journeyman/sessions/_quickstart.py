"""The whole trade in one run: demonstrate, clone, see it fail, correct, improve, report."""

import dataclasses
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np

from journeyman._settings import BATCH, CORRECTED_IN, DEMONSTRATED, QuickstartSettings
from journeyman.algorithms import bc, dagger, natural_gradient
from journeyman.collect import Mean, play
from journeyman.corrections import thin
from journeyman.datasets import write as write_data
from journeyman.diagnose import Compounding, Evaluation, compounding, evaluate, interval, mode_averaging
from journeyman.episodes import Episodes
from journeyman.experts import PolicyExpert, shipped
from journeyman.parts import JourneymanError, citations, counted, refuse
from journeyman.policies import DensityPolicy, policy
from journeyman.report import (
    PolicyRow,
    Reference,
    Report,
    compounding_figure,
    compounding_findings,
    modes_findings,
    policy_row,
    report_interval,
    write,
)
from journeyman.sessions._clone import Say
from journeyman.sessions._page import facts, film, fit_curves, improve_curves, summary_entry, write_summary
from journeyman.sessions._refusals import attempt, can_report, stoppable
from journeyman.sessions._typed import typed
from journeyman.sessions._wording import bounded
from journeyman.training import Learner, Plan, Recorder, Trained, fit, improve, read_record
from journeyman.worlds import AbstractWorld, world

_NAME = "Hopper-v5"
_EVALUATED = 20
"""Episodes of the mean action along the way of the practice."""


def quickstart(settings: QuickstartSettings, *, say: Say = print, quiet: bool = False) -> dict[str, Any]:
    """Run all of it and return the summary, which also stands in `summary.json` beside `report.html`.

    Raises `JourneymanError` for a folder in use (without `overwrite`) and for all that is wrong with the numbers,
    before anything is made, and `KeyboardInterrupt` when Ctrl-C ended it early.
    """
    found = settings.problems()
    attempt(found, can_report)
    attempt(found, lambda: _check_folder(settings))
    refuse(found)
    again = typed(("quickstart",), dataclasses.replace(settings, overwrite=True), ())
    with stoppable(f"begin again with: {again}"):
        return _acts(settings, say, quiet)


def _acts(settings: QuickstartSettings, say: Say, quiet: bool) -> dict[str, Any]:
    began = time.perf_counter()
    stage = _Stage(settings, say, quiet)
    data = stage.demonstrate()
    cloned = stage.clone(data)
    policies = {
        "clone": cloned,
        "corrected": stage.correct(cloned.policy, data),
        "improved": stage.improve(cloned.policy),
    }
    improved = policies["improved"]
    found = {name: stage.judge(name, one.policy) for name, one in policies.items()}
    found["expert"] = stage.judge("expert", stage.master)
    errors = compounding(cloned.policy, stage.expert, stage.world, demonstrations=data, episodes=20)
    clocks = [row["clock"] for row in improved.rows if "clock" in row]
    speeds = [clock["steps_per_second"] for clock in clocks if "steps_per_second" in clock][-20:]
    page = stage.page(data, policies, found, errors)
    summary = {
        "demonstrations": {"episodes": settings.demonstrations, "mean": float(stage.shown.mean())},
        **{name: summary_entry(found[name]) for name in ("clone", "corrected", "improved", "expert")},
        "seconds": time.perf_counter() - began,
        "steps_per_second": float(np.mean(speeds)),
    }
    write_summary(settings.out, summary)
    say(f"{page} ({summary['seconds']:.0f} s)")
    return summary


def _check_folder(settings: QuickstartSettings) -> None:
    out = settings.out
    if out.exists() and not out.is_dir():
        raise JourneymanError(f"'{out}' is a file, and a quickstart is a folder; choose another name with --out.")
    if not out.exists() or not any(out.iterdir()):
        return
    if not (out / "clone" / "config.json").exists():
        raise JourneymanError(f"'{out}' holds something other than a quickstart; choose another folder with --out.")
    if not settings.overwrite:
        raise JourneymanError(f"'{out}' holds an earlier quickstart; add --overwrite to replace it, or choose --out.")


class _Stage:
    """What every act of the quickstart shares: the world, the expert, the folder."""

    def __init__(self, settings: QuickstartSettings, say: Say, quiet: bool) -> None:
        self.settings, self.say, self.quiet = settings, say, quiet
        self.world: AbstractWorld = world(_NAME, num_envs=32, seed=settings.seed)
        self.master = shipped(_NAME)
        self.expert = PolicyExpert(self.master)
        self.shown = np.zeros(0)
        self.command = typed(("quickstart",), settings, ("out", "overwrite"))

    def record(self, name: str) -> Recorder:
        s = self.settings
        return Recorder(s.out / name, overwrite=s.overwrite, quiet=self.quiet, context={"quickstart": name})

    def demonstrate(self) -> Episodes:
        s = self.settings
        whole = play(self.world, Mean(self.master), episodes=s.demonstrations, seed=DEMONSTRATED + s.seed)
        self.shown = whole.episode_returns()
        data = thin(whole, steps_per_episode=s.kept_steps, seed=s.seed)
        self.say(
            f"demonstrations: {counted(s.demonstrations)}, mean return {self.shown.mean():.0f},"
            f" {data.num_steps} steps kept."
        )
        return data

    def clone(self, data: Episodes) -> Trained:
        fresh = policy(self.world, jax.random.key(self.settings.seed))
        learner = self.learners()["clone"]
        found = fit(learner, fresh, data, seed=self.settings.seed, record=self.record("clone"))
        # only now: by its clone a quickstart is known, and may be replaced
        write_data(data, self.settings.out / "demonstrations.npz", overwrite=self.settings.overwrite)
        return found

    def correct(self, clone: DensityPolicy, data: Episodes) -> Trained:
        small = self.world.remake(seed=self.settings.seed, num_envs=CORRECTED_IN)
        plan = Plan(steps=self.settings.labels, batch=min(1000, self.settings.labels), seed=self.settings.seed)
        learner = self.learners()["corrected"]
        return improve(learner, clone, small, plan, demonstrations=data, record=self.record("corrected"))

    def improve(self, clone: DensityPolicy) -> Trained:
        plan = Plan(
            steps=self.settings.steps,
            batch=BATCH,
            seed=self.settings.seed,
            minimum_std=0.2,
            evaluation_episodes=_EVALUATED,
            evaluate_every=20,
        )
        return improve(self.learners()["improved"], clone, self.world, plan, record=self.record("improved"))

    def learners(self) -> dict[str, Learner]:
        """The three recipes of the quickstart."""
        return {
            "clone": bc(epochs=200, batch_size=64),
            "corrected": dagger(self.expert, epochs=50),
            "improved": natural_gradient(),
        }

    def judge(self, name: str, one: DensityPolicy) -> Evaluation:
        found = evaluate(one, self.world, episodes=self.settings.episodes)
        self.say(f"{name}: {bounded(found.score(), '.0f')} over {counted(found.episodes)}.")
        return found

    def page(
        self, data: Episodes, trained: dict[str, Trained], found: dict[str, Evaluation], errors: Compounding
    ) -> Path:
        s, practice = self.settings, trained["improved"].rows
        told = {
            "clone": f"{data.num_steps} labelled steps",
            "corrected": f"{data.num_steps} labelled steps and {s.labels:,} labels asked for",
            "improved": f"the clone and {practice[-1]['step']:,} steps of practice",
            "expert": "",
        }
        rows = [policy_row(n, e, data=told[n], command=self.command) for n, e in found.items()]
        shown = PolicyRow(
            "demonstrations", report_interval(interval(self.shown)), len(self.shown), command=self.command
        )
        references = [Reference(n, found[n].score().mean) for n in ("expert", "clone")]
        curves = improve_curves("improved", practice, self.command, references, evaluation_episodes=_EVALUATED)
        shots = {name: one.policy for name, one in trained.items()} | {"expert": self.master}
        page = Report(
            title=f"From {counted(len(self.shown), 'demonstration')} to a better policy: {_NAME}",
            summary=_summary(found, s),
            facts=facts(read_record(s.out / "improved"), world=_NAME, command=self.command, seed=str(s.seed)),
            policies=[shown, *rows],
            curves=[*curves, *fit_curves(trained["clone"].rows, self.command)],
            compounding=compounding_figure(errors, policy="clone", command=self.command),
            films=[film(name, one, self.world, seed=0) for name, one in shots.items()],
            findings=[
                *compounding_findings(errors),
                *modes_findings(mode_averaging(trained["clone"].policy, data)),
            ],
            citations=citations(*self.learners().values(), self.world),
        )
        return write(page, s.out / "report.html", overwrite=s.overwrite)


def _summary(found: dict[str, Evaluation], settings: QuickstartSettings) -> list[str]:
    mean = {name: one.score().mean for name, one in found.items()}
    return [
        f"From {counted(settings.demonstrations, 'demonstration')} the clone reaches {mean['clone']:.0f} of the"
        f" expert's {mean['expert']:.0f}; corrected by the expert it reaches {mean['corrected']:.0f}, and by practice"
        f" alone {mean['improved']:.0f}.",
        f"The correction is DAgger with {settings.labels:,} labels; the practice is natural policy gradients from the"
        f" clone, without the expert.",
    ]
