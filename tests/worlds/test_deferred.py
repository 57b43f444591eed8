"""What gymnax draws with is imported when it draws, and by nobody's stand-in."""

import subprocess
import sys

import pytest

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
