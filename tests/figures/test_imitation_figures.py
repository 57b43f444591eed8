"""The imitation figures: their data against what is known, their drawing, and what is refused."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import minimize

from journeyman import JourneymanError, cli
from journeyman.diagnose import exponent_over_learners
from journeyman.figures import IMITATION, POLICY_GRADIENT, SETS, Computed, Effort, chosen, drawn, write
from journeyman.figures import _compounding as compounding
from journeyman.figures import _modes as modes

SYNTHETIC = {
    "horizon": np.asarray([16, 22, 29, 39, 53, 71, 95, 128]),
    "ridge horizon": np.asarray([50, 67, 91, 122, 164, 221, 297, 400]),
}


@pytest.mark.slow
def test_errors_that_were_put_in_cost_what_the_closed_forms_say() -> None:
    for recovery in ("never", "itself"):
        found, world = compounding.with_known_errors(recovery, 2000), compounding.on_chain(recovery)
        assert found.error.low < compounding.KNOWN < found.error.high
        for h, cost in zip(found.horizon, found.cost, strict=True):
            truth = world.expected_cost(compounding.KNOWN, horizon=int(h))
            assert abs(cost.mean - truth) < 5 * (cost.high - cost.low) / 3.92


def test_seeds_have_the_exponent_of_their_mean_cost_and_their_own_where_it_has_bounds() -> None:
    found = [compounding.with_known_errors("never", 50, seed) for seed in range(3)]
    told = compounding.summary(found)
    assert told["exponent"] is None  # of three
    assert compounding.summary(found * 3)["exponent"]["mean"] == pytest.approx(exponent_over_learners(found * 3).mean)
    bounded = [one.exponent is not None and one.exponent.known for one in found]
    assert [one is not None for one in told["exponents"]] == bounded
    assert told["seeds"] == 3
    rows = compounding.over_seeds(found, of_error=True)
    assert rows.shape == (8, 3)
    expected = np.mean([one.cost[-1].mean / one.error.mean for one in found if one.error.mean > 0])
    assert rows[-1, 0] == pytest.approx(expected)


def synthetic(known: bool) -> Computed:
    """Costs of the right size; one learner alone has no interval, and one curve goes below 0."""
    h, r = SYNTHETIC["horizon"], SYNTHETIC["ridge horizon"]
    reach = 0.5 if known else np.nan

    def rows(cost: np.ndarray) -> np.ndarray:
        return np.stack([cost, cost * (1 - reach), cost * (1 + reach)], axis=1)

    arrays = dict(SYNTHETIC)
    for label, power in (("never back", 2), ("back by itself", 1)):
        arrays |= {f"known {label}": rows(0.001 * h**power / power), f"exact {label}": 0.001 * h**power / power}
    for label, power in zip(compounding.CHAIN_RUNS, (2, 1, 1), strict=True):
        arrays[label] = rows(h**power / power)
    sign = np.where(r > 100, 1, -1)
    arrays |= {"ridge, clone": rows(1e-4 * r**2.0), "ridge, DAgger": rows(1e-5 * r * sign)}
    return Computed(arrays, {}, "caption", "seeds")


@pytest.mark.parametrize("known", [True, False])
def test_it_is_drawn_with_and_without_intervals_and_what_is_not_above_zero_is_left_out(known: bool) -> None:
    (figure,) = chosen(("compounding",), "imitation")
    for shade in ("light", "dark"):
        assert drawn(figure, synthetic(known), shade, "png").startswith(b"\x89PNG")


# -- mode averaging ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("middle", modes.MIDDLES)
def test_the_best_gaussians_are_those_of_the_caption(middle: float) -> None:
    """By a search over the quadrature, and three of them by the grid search of the issue (steps of .05 to .1)."""
    for kind in modes.KINDS:
        mean, std, least = modes.OPTIMA[kind, middle]
        begun = ((0.8 * middle, np.log(0.7)), (0.1, np.log(1.2 * middle)))
        found = [minimize(_value, start, (kind, middle), "Nelder-Mead", options={"xatol": 1e-4}) for start in begun]
        best = min(found, key=lambda one: one.fun)
        assert (abs(best.x[0]), np.exp(best.x[1])) == pytest.approx((mean, std), abs=2e-3)
        assert best.fun == pytest.approx(least, abs=2e-4)
    known = {1.0: (0.1723, 0.2278, 0.0461), 2.0: (0.72355, 0.69305, 0.2010)}[middle]
    for kind, value in zip(modes.KINDS, known, strict=False):
        assert modes.OPTIMA[kind, middle][2] == pytest.approx(value, abs=2e-3)


def _value(at: np.ndarray, kind: str, middle: float) -> float:
    return modes.value(kind, middle, float(at[0]), float(np.exp(at[1])))


def test_the_data_s_density_between_the_modes_is_the_known_one() -> None:
    between, fit = float(modes.shown(2.0, np.zeros(1))[0]), float(modes.normal(0.0, 2.0616, np.zeros(1))[0])
    assert between == pytest.approx(0.00027, abs=5e-6)
    assert fit == pytest.approx(0.1935, abs=5e-5)
    assert fit / between == pytest.approx(723, abs=1)


def quick_modes() -> Computed:
    """The fits of a search in the place of trained ones."""
    fits = {f"{kind}, m = {middle:g}": modes.Landed(*modes.OPTIMA[kind, middle]) for kind, middle in modes.OPTIMA}
    between = {"fit": 0.1935, "data": 0.000268, "ratio": 723.0}
    return Computed({label: np.asarray(one) for label, one in fits.items()}, {}, modes._caption(fits, between), "")


def test_the_modes_are_drawn_and_the_caption_says_what_is_known() -> None:
    (figure,) = chosen(("modes",), "imitation")
    for shade in ("light", "dark"):
        assert drawn(figure, quick_modes(), shade, "png").startswith(b"\x89PNG")
    said = quick_modes().caption
    for part in ("0 ± 1.118", "0 ± 2.062", "2.00 ± 0.500, 0.6931", "[.1935, .00027, 723]", "total variation 1.76"):
        assert part in said


@pytest.mark.slow
def test_trained_gaussians_land_on_the_best_ones() -> None:
    found = modes.modes(Effort())
    json.dumps(found.numbers, allow_nan=False)
    for (kind, middle), (mean, std, least) in modes.OPTIMA.items():
        one = found.numbers[f"{kind}, m = {middle:g}"]
        assert abs(one["mean"]) == pytest.approx(mean, abs=0.05)
        assert one["std"] == pytest.approx(std, abs=0.05)
        assert one["value"] == pytest.approx(least, abs=5e-3)


# -- the set -----------------------------------------------------------------------------------------------


def test_each_set_has_its_names_and_its_page(tmp_path: Path) -> None:
    assert dict(SETS) == {"policy-gradient": POLICY_GRADIENT, "imitation": IMITATION}
    names = ["modes", "compounding", "labels", "noise", "trajectories"]
    assert [figure.name for figure in chosen((), "imitation")] == names
    assert [figure.name for figure in chosen(())] == [figure.name for figure in POLICY_GRADIENT.figures]
    with pytest.raises(JourneymanError, match=r"No figure is called 'horizon'\. The figures are modes, compounding"):
        chosen(("horizon",), "imitation")
    quick = chosen(("compounding",), "imitation")[0]._replace(compute=lambda effort: synthetic(True))
    page = write([quick], tmp_path / "out", command="C", title=IMITATION.title)
    assert "<h1>Imitation in figures</h1>" in page.read_text()


def test_what_belongs_to_the_other_set_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["figures", "imitation", "--out", str(tmp_path / "out"), "--humanoid", "1000", "--only", "samples"]
    assert cli.main(words) == 2
    said = capsys.readouterr().err
    assert "--humanoid and --alternatives add to the policy-gradient figures, not to those of imitation" in said
    assert "No figure is called 'samples'" in said
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_learned_errors_are_never_recovered_by_a_clone_and_are_by_dagger() -> None:
    found = compounding.compounding(Effort(scale=0.25, seeds=2))
    json.dumps(found.numbers, allow_nan=False)
    clone, itself, back = (found.numbers[label] for label in compounding.CHAIN_RUNS)
    assert clone["exponent"]["mean"] == pytest.approx(2, abs=0.2)
    assert itself["exponent"]["mean"] == pytest.approx(1, abs=0.2)
    assert back["exponent"]["mean"] == pytest.approx(1, abs=0.2)
    assert found.numbers["ridge, clone"]["exponent"]["mean"] > 1.5
    assert found.numbers["ridge, DAgger"]["cost"]["mean"] < 0.1 * found.numbers["ridge, clone"]["cost"]["mean"]
    assert f"{clone['exponent']['mean']:.2f}" in found.caption
