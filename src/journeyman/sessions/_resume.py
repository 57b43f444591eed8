"""Continue a run, or write its page again, from its folder and the data that it names."""

from pathlib import Path
from typing import Any

from journeyman._settings import FitSettings, ImproveSettings, forgotten
from journeyman.datasets import read
from journeyman.parts import JourneymanError
from journeyman.sessions._clone import Say, clone, clone_page, split, world_of
from journeyman.sessions._files import from_json
from journeyman.sessions._practise import practice_page, practise
from journeyman.training import read_context

_SETTINGS: dict[str, Any] = {"fit": FitSettings, "improve": ImproveSettings}


def resume(folder: Path, *, say: Say = print, quiet: bool = False) -> Path:
    """Continue the run in `folder` from its newest complete checkpoint, with the settings it was begun with.

    The policy that it started from and the expert that it asks are in the folder. Data is not: its file must lie where
    it lay and hold what it held.

    Raises `JourneymanError` for a folder without a run or without a complete checkpoint, for data that is no longer
    what it was, and for a run begun in Python (continue it with `Recorder(folder, resume=True)` and the same parts).
    """
    settings = _settings(folder)
    if isinstance(settings, FitSettings):
        return clone(settings, say=say, resume=True, quiet=quiet)
    return practise(settings, say=say, resume=True, quiet=quiet)


def report(folder: Path, *, say: Say = print) -> Path:
    """Evaluate what the run in `folder` has made and write its page again."""
    settings = _settings(folder)
    if not isinstance(settings, FitSettings):
        return practice_page(settings, say=say)
    made = world_of(settings)
    data = read(settings.data, world=made)
    _, held_out = split(settings, data.episodes)
    return clone_page(settings, data, made, held_out, say=say)


def _settings(folder: Path) -> FitSettings | ImproveSettings:
    context = read_context(folder)
    if context.get("verb") not in _SETTINGS or "settings" not in context:
        raise JourneymanError(
            f"The run in '{folder}' was begun in Python (or by `quickstart` or `correct`), so its folder does not say"
            f" all of it; continue it there, with record=Recorder('{folder}', resume=True) and the parts it was begun"
            " with."
        )
    # The folder may have been moved since; where it is now is where it goes on.
    found = from_json(_SETTINGS[context["verb"]], {**context["settings"], "out": str(folder)})
    return forgotten(found, found.rules()) if isinstance(found, ImproveSettings) else found
