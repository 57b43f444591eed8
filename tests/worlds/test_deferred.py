"""What gymnax draws with is imported when it draws, and by nobody's stand-in."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from journeyman.worlds._deferred import deferred

PROGRAM = """
import sys
import journeyman
world = journeyman.world("gymnax:CartPole-v1", num_envs=2)
assert not {"matplotlib", "seaborn", "pandas", "scipy.stats"} & set(sys.modules), "a stand-in is left, or was no use"

from gymnax.environments.misc import pong, rooms
assert str(pong.sns.color_palette("cubehelix", 3)).startswith("[("), "what a stand-in has is the module's"
assert pong.colors.ListedColormap(["red"]).N == 1, "something inside a package that is deferred"

import matplotlib.pyplot, seaborn
assert seaborn.__file__ and matplotlib.pyplot.__file__, "others import the modules themselves"
assert rooms.plt.figure is matplotlib.pyplot.figure
try:
    rooms.plt.figures
except AttributeError as error:
    assert "matplotlib.pyplot" in str(error)
"""

LOADED = """
import matplotlib.pyplot as plt
import journeyman
journeyman.world("gymnax:CartPole-v1", num_envs=2)
from gymnax.environments.misc import rooms
assert rooms.plt is plt, "what is loaded already needs no stand-in"
"""


@pytest.mark.parametrize("program", [PROGRAM, LOADED], ids=["deferred", "loaded before"])
def test_gymnax_is_imported_without_what_it_draws_with(program: str) -> None:
    pytest.importorskip("gymnax")
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_any_module_of_a_package_has_a_stand_in_and_a_missing_one_is_told_when_it_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "drawn").mkdir()
    (tmp_path / "drawn" / "__init__.py").write_text("")
    (tmp_path / "drawn" / "shapes.py").write_text("sides = {'square': 4}\ndef half(x): return x / 2\n")
    monkeypatch.syspath_prepend(tmp_path)
    with deferred("drawn", "nowhere"):
        import drawn.shapes as shapes  # type: ignore[import-not-found]
        import nowhere.at.all as lost  # type: ignore[import-not-found]
        from drawn.shapes import half  # type: ignore[import-not-found]
    assert not {"drawn", "drawn.shapes", "nowhere", "nowhere.at.all"} & set(sys.modules)
    assert shapes.sides == {"square": 4}
    assert half(3) == 1.5
    with pytest.raises(ModuleNotFoundError, match="nowhere"):
        lost.anything  # noqa: B018
    with pytest.raises(ValueError, match="undone"), deferred("drawn_too"):
        raise ValueError("undone")
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("drawn_too")
