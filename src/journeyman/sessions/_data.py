"""From a file of demonstrations to what is wrong with it, and from one format to another."""

from journeyman._settings import ConvertSettings, LintSettings
from journeyman.datasets import Lint, lint, read, write
from journeyman.parts import refuse
from journeyman.sessions._refusals import attempt, make_world
from journeyman.training._folder import lost


def lint_data(settings: LintSettings) -> Lint:
    """`datasets.lint` of the file in `settings.data`, held against the world that is named there.

    Raises `JourneymanError` for a file that cannot be looked at and a world that cannot be made.
    """
    found: list[str] = []
    if settings.options and settings.world is None:
        found.append("--options are the world's, and no world is given; add --world.")
    name = settings.world
    made = None if name is None else attempt(found, lambda: make_world(name, settings.options, num_envs=1, seed=0))
    refuse(found)
    return lint(settings.data, world=made)


def convert_data(settings: ConvertSettings) -> list[str]:
    """Read `settings.data` and write `settings.out`; returns the notes of the reading, and what was written.

    Raises `JourneymanError` where `datasets.read` or `datasets.write` does, and where one would replace the other.
    """
    refuse(lost({"DATA": settings.data}, [settings.out]))
    data = read(settings.data)
    path = write(data.episodes, settings.out, overwrite=settings.overwrite, lossy=settings.lossy)
    steps, episodes = data.episodes.num_steps, len(data.actions)
    return [*(f"note: {note}" for note in data.notes), f"{steps:,} steps in {episodes:,} episodes: {path}"]
