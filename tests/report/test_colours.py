"""The colours of the policies stay apart for eyes that miss one of the three cone types, in light and in dark.

Simulation: Machado, Oliveira and Fernandes 2009, table 1, severity 1.0, on linear RGB. Distance: CIE 1976.
"""

import itertools
import re
from importlib import resources

import numpy as np
import pytest

ROLES = ("demonstrations", "clone", "corrected", "improved", "expert")
NO_RED = [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
NO_GREEN = [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
NO_BLUE = [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
EYES = {"normal": np.eye(3)} | {
    name: np.array(matrix) for name, matrix in (("no red", NO_RED), ("no green", NO_GREEN), ("no blue", NO_BLUE))
}
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def linear(colour: str) -> np.ndarray:
    channels = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)


def lab(rgb: np.ndarray) -> np.ndarray:
    x, y, z = np.cbrt(np.maximum(TO_XYZ @ np.clip(rgb, 0, 1) / np.array([0.9505, 1.0, 1.089]), 0.008856))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def nearest(colours: list[str], eye: np.ndarray) -> float:
    places = [lab(eye @ linear(colour)) for colour in colours]
    return min(float(np.linalg.norm(a - b)) for a, b in itertools.combinations(places, 2))


def contrast(a: str, b: str) -> float:
    dark, light = sorted(float(TO_XYZ[1] @ linear(colour)) for colour in (a, b))
    return (light + 0.05) / (dark + 0.05)


def variables(shade: str) -> dict[str, str]:
    style = resources.files("journeyman.report").joinpath("page.css").read_text(encoding="utf-8")
    start = style.index(":root {" if shade == "light" else ':root[data-shade="dark"]')
    return dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", style[start : style.index("}", start)]))


@pytest.mark.parametrize("shade", ["light", "dark"])
@pytest.mark.parametrize("eye", list(EYES))
def test_policies_can_be_told_apart(shade: str, eye: str) -> None:
    colours = variables(shade)
    assert nearest([colours[role] for role in ROLES], EYES[eye]) > 15


def test_the_check_finds_a_pair_that_looks_alike() -> None:
    grey_and_green = ["#857f76", "#009e73"]  # far apart for most, alike without green cones
    assert nearest(grey_and_green, EYES["normal"]) > 40
    assert nearest(grey_and_green, EYES["no green"]) < 5


@pytest.mark.parametrize("shade", ["light", "dark"])
def test_marks_and_texts_stand_out_from_the_card(shade: str) -> None:
    colours = variables(shade)
    # WCAG 2.2: 3 for graphics, 4.5 for text
    assert min(contrast(colours[role], colours["card"]) for role in ROLES) >= 3
    texts = [f"{role}-text" for role in ROLES] + ["ink", "ink-2", "accent"]
    assert min(contrast(colours[text], colours["card"]) for text in texts) >= 4.5
    assert min(contrast(colours[text], colours["paper"]) for text in ("ink", "ink-2", "accent")) >= 4.5
