"""From nothing but a name to a folder of figures."""

from collections.abc import Callable
from pathlib import Path

from journeyman._settings import FiguresSettings
from journeyman.figures import SETS, Effort, Figure, alternatives, check_target, chosen, comparison, write
from journeyman.parts import refuse, require
from journeyman.sessions._files import relative
from journeyman.sessions._refusals import attempt, stoppable
from journeyman.sessions._typed import typed
from journeyman.worlds import world


def draw_figures(settings: FiguresSettings, say: Callable[[str], None] = lambda sentence: None) -> Path:
    """Compute and draw what `settings` ask for; returns the page.

    Raises `JourneymanError` with everything that is wrong at once, before anything is computed.
    """
    found = settings.problems()
    figures = attempt(found, lambda: _wanted(settings)) or ()
    for figure in figures:
        attempt(found, figure.ready)
    attempt(found, lambda: require("matplotlib", extra="figures"))
    attempt(found, lambda: check_target(settings.out, settings.overwrite))
    refuse(found)
    effort = Effort(settings.scale, settings.seeds, settings.seed)
    title, command = SETS[settings.of].title, _command(settings)
    kept = "" if settings.runs is None else f"the runs in {relative(settings.runs)} are kept, "
    with stoppable(f"{kept}go on with the same command (and --overwrite where figures stand in the folder)"):
        return write(
            figures, settings.out, command=command, title=title, effort=effort, overwrite=settings.overwrite, say=say
        )


def _command(settings: FiguresSettings) -> str:
    """The command line that these settings stand for, without the folder's place."""
    return typed(("figures", settings.of, "--out", "DIR"), settings, ("of", "out", "runs", "overwrite"))


def _wanted(settings: FiguresSettings) -> tuple[Figure, ...]:
    more = [] if settings.alternatives is None else [alternatives(settings.alternatives)]
    if settings.humanoid is None:
        return (*chosen(settings.only or (), settings.of), *more)
    world(settings.comparison_world, num_envs=1, seed=0)  # refuse an unknown one before the others are drawn
    one = comparison(settings.comparison_world, settings.humanoid, settings.runs)
    return (*(chosen(settings.only, settings.of) if settings.only else ()), *more, one)
