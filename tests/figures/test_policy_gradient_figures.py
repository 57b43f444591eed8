"""The figures: their data against what is known, their files, and what is refused."""

import json
from pathlib import Path

import numpy as np
import pytest

from journeyman import JourneymanError, cli
from journeyman.figures import Computed, Effort, Figure, _comparison, alternatives, chosen, comparison, drawn, write
from journeyman.figures import _horizon as horizon
from journeyman.figures import _scalar_control as control
from journeyman.figures._estimates import mean, variance
from journeyman.figures._geometry import collapse, coordinates, vanilla_and_natural
from journeyman.figures._variance import LQ_VARIANCES, baselines, centring
from journeyman.training import Plan
from journeyman.worlds import LinearQuadratic
from tests.objectives.test_exact_variance import variances


def test_the_closed_forms_of_the_two_parameter_problem_are_those_of_the_world() -> None:
    begin = np.asarray(control.START)
    assert control.value(*begin) == pytest.approx(-10.47170, abs=1e-5)
    np.testing.assert_allclose(control.gradient(begin), [-24.00765, -32.07547], atol=1e-5)
    world = LinearQuadratic()
    for k, s in ((-0.2, 0.5), (-0.5, 0.1), (-0.8, 0.3)):
        assert control.value(k, s) == pytest.approx(world.expected_return(k, s, 0.9), rel=1e-9)
        by_gain, by_std = world.gradient(k, s, 0.9)
        np.testing.assert_allclose(control.gradient(np.asarray([k, s])), [by_gain[0, 0], by_std[0]], rtol=1e-8)
    assert float(world.optimal_gain(0.9)[0, 0]) == pytest.approx(control.BEST_GAIN, abs=1e-6)


def test_the_fisher_matrix_is_the_curvature_of_the_divergence() -> None:
    theta, move = np.asarray(control.START), np.asarray([0.3, -0.2])
    for small in (1e-3, 1e-4):
        predicted = 0.5 * (control.fisher(theta) * (small * move) ** 2).sum()
        assert control.divergence(theta, theta + small * move) == pytest.approx(predicted, rel=10 * small)


def test_at_equal_kl_sigma_shrinks_alike_and_only_the_natural_gradient_reaches_the_best_gain() -> None:
    found = vanilla_and_natural(Effort(scale=0.6))
    plain, natural = found.numbers["vanilla"], found.numbers["natural"]
    assert plain["exact"]["std"] < natural["exact"]["std"]
    assert abs(natural["exact"]["gain"] - control.BEST_GAIN) < 0.02 < 0.1 < plain["exact"]["gain"] - control.BEST_GAIN
    assert abs(np.log(natural["exact"]["std"] / plain["exact"]["std"])) < 0.15  # σ alone does not tell them apart
    assert natural["exact"]["gap"] < 0.6 * plain["exact"]["gap"]


@pytest.mark.slow
def test_the_variances_are_those_that_are_known() -> None:
    found = baselines(Effort(scale=0.1)).numbers
    assert [one["exact"] for one in found["chain"].values()] == [192, 88, 48]
    for one in found["chain"].values():
        assert _errors(one["variance"], one["exact"]) < 5
    for one in list(found["control"].values())[:2]:
        assert _errors(one["variance"], one["known"]) < 5
    assert _errors(found["control"]["full return"]["variance"], found["control"]["− V(s, t)"]["known"]) > 5  # apart
    kinds = centring(Effort(scale=0.2)).numbers
    assert [kinds[k]["exact"] for k in ("none", "mean return", "optimal")] == pytest.approx([21.75, 10.5, 9.5])
    for kind in ("none", "mean return", "optimal"):
        assert kinds[kind]["variance"]["low"] < kinds[kind]["exact"] < kinds[kind]["variance"]["high"]


def test_the_known_variances_are_the_exact_ones() -> None:
    names = ("full return", "none", "time-varying", "value of state and time")
    assert list(LQ_VARIANCES.values()) == pytest.approx([variances()[name] for name in names], abs=0.05)


def _errors(measured: dict[str, float], truth: float) -> float:
    """How many standard errors away."""
    return abs(measured["mean"] - truth) / ((measured["high"] - measured["low"]) / (2 * 1.96))


def test_the_interval_of_a_variance_allows_for_the_tail_that_a_sample_seldom_shows() -> None:
    random = np.random.default_rng(0)

    def estimates() -> np.ndarray:  # of dJ/dθ in the chain at θ = ½, by the full return: variance 192
        stays = random.geometric(0.5, 2000) - 1
        return np.asarray((2 * stays - 2) * stays, float)

    rows = [estimates() for _ in range(600)]
    skewed = np.mean([one.low < 192 < one.high for one in map(variance, rows)])
    normal = np.mean([one.low < 192 < one.high for one in (mean((row - row.mean()) ** 2) for row in rows)])
    assert normal < 0.88 < 0.89 < skewed < 0.96
    assert variance(np.asarray([1.0, -1.0] * 50)).low == pytest.approx(100 / 99)  # squares that are all alike


def test_the_interval_of_a_variance_holds_the_truth_as_often_as_it_says() -> None:
    draws = np.random.default_rng(0).standard_normal((400, 2000))
    found = [variance(row) for row in draws]
    held = np.mean([one.low < 1 < one.high for one in found])
    assert abs(held - 0.95) < 5 * np.sqrt(0.95 * 0.05 / 400)
    assert not all(one.low < 1.2 < one.high for one in found)
    assert found[0].mean == pytest.approx(draws[0].var(ddof=1))


@pytest.mark.slow
def test_a_step_that_is_too_long_collapses_and_overflow_is_told_as_such() -> None:
    found = collapse(Effort(scale=0.1)).numbers
    for label in ("vanilla", "natural"):
        one = found[label]
        assert one["collapse"] is not None
        assert one["collapse"] > one["best"] > 0
        assert one["returns"][f"{one['best']:g}"]["low"] > found["start"]["mean"]
        assert all(isinstance(kl, float) or kl == "overflow" for kl in one["realised_kl"])
        np.testing.assert_allclose(one["realised_kl"][:2], [1e-4, 1e-3], rtol=0.05)
        assert not np.isclose(one["realised_kl"][-1], 1.0, rtol=0.2)
    json.dumps(found, allow_nan=False)


def test_natural_steps_agree_to_first_order_and_vanilla_ones_do_not() -> None:
    found = coordinates(Effort()).numbers
    assert found["natural"]["slope"] == pytest.approx(0.5, abs=0.05)
    assert abs(found["vanilla"]["slope"]) < 0.05
    assert found["vanilla"]["apart_smallest"] > 1


def test_the_return_of_gains_is_the_world_s_and_one_step_has_nothing_to_lose() -> None:
    world = horizon.control(5)
    gains = np.full(5, -0.4)
    assert horizon.return_of_gains(world, gains, 0.9) == pytest.approx(world.expected_return(-0.4, 0.0, 0.9))
    assert horizon.loss(horizon.control(1), 1.0) == pytest.approx(0.0, abs=1e-9)
    assert horizon.loss(horizon.control(2), 1.0) > 0.05


def test_below_the_discounts_of_the_caption_hardly_anything_is_lost_at_any_effort() -> None:
    found = horizon.horizon(Effort())
    below = found.numbers["stops_mattering_below"]
    assert list(below) == ["2", "5", "10", "20"]
    for steps, discount in below.items():
        assert f"{discount:.2f} (H = {steps})" in found.caption
        assert horizon.loss(horizon.control(int(steps)), discount) < horizon.MATTERS
        assert horizon.loss(horizon.control(int(steps)), discount + 0.01) > horizon.MATTERS
    assert horizon.horizon(Effort(scale=1000.0)).numbers == found.numbers


def test_a_folder_holds_every_figure_twice_with_its_numbers(tmp_path: Path) -> None:
    page = write(chosen(("coordinates", "horizon")), tmp_path / "out", command="C", effort=Effort(scale=0.2))
    names = {entry.name for entry in page.parent.iterdir()}
    stems = ("coordinates", "coordinates-dark", "horizon", "horizon-dark")
    assert names == {f"{s}.{k}" for s in stems for k in ("svg", "png")} | {"figures.json", "captions.md", "index.html"}
    record = json.loads((page.parent / "figures.json").read_text())
    assert list(record) == ["coordinates", "horizon"]
    for one in record.values():
        assert one["command"] == "C"
        assert one["caption"] in (page.parent / "captions.md").read_text()
    text = page.read_text()
    assert text.count("data:image/svg+xml") == 4
    assert "http://" not in text.replace("http://www.w3.org", "")
    light, dark = (page.parent / f"horizon{end}.svg" for end in ("", "-dark"))
    assert light.read_bytes() != dark.read_bytes()
    with pytest.raises(JourneymanError, match=r"holds figures already .* --overwrite"):
        write(chosen(("horizon",)), page.parent, command="C")


def test_the_same_data_give_the_same_bytes() -> None:
    figure = chosen(("horizon",))[0]
    computed = figure.compute(Effort(scale=0.2))
    assert drawn(figure, computed, "light", "svg") == drawn(figure, computed, "light", "svg")


def test_a_number_that_is_not_finite_stops_before_it_is_written(tmp_path: Path) -> None:
    bad = Figure("bad", "Bad", lambda effort: Computed({}, {"x": float("nan")}, "c", "s"), lambda *a: None)
    with pytest.raises(ValueError, match="JSON"):
        write([bad], tmp_path / "out", command="C")


def test_what_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(JourneymanError, match=r"No figure is called 'geometri'. Did you mean 'geometry'\?"):
        chosen(("geometri",))
    (tmp_path / "mine.txt").write_text("kept")
    assert cli.main(["figures", "policy-gradient", "--out", str(tmp_path), "--overwrite", "--scale", "-1"]) == 2
    said = capsys.readouterr().err
    assert "--scale must be a positive number, not -1.0" in said
    assert "holds no figures ('mine.txt' lies there), so it is not touched" in said
    assert cli.main(["figures", "policy-gradient", "--out", str(tmp_path / "new"), "--only"]) == 2
    assert "--only names no figure; write the names after it" in capsys.readouterr().err
    with pytest.raises(JourneymanError, match="holds no curves of the alternatives"):
        alternatives(tmp_path / "nothing.json")


def test_a_curve_begins_where_every_seed_has_finished_an_episode(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before, no return is known: the first used to be drawn back to the beginning, with no width of interval."""

    def run(learner: object, name: str, plan: Plan, folder: Path | None) -> tuple[np.ndarray, np.ndarray]:
        return np.asarray([32_000.0, 64_000.0]) + 10_000 * plan.seed, np.asarray([100.0, 300.0])

    monkeypatch.setattr(_comparison, "_run", run)
    found = comparison("HalfCheetah-v5", 100_000).compute(Effort(seeds=2)).arrays
    for label in _comparison.RECIPES:
        assert found[f"{label} steps"][0] >= 42_000
        assert len(found[label]) == len(found[f"{label} steps"]) > 10
    short = comparison("HalfCheetah-v5", 30_000).compute(Effort(seeds=2)).numbers["last"]
    assert short["PPO"]["mean"] == 100


@pytest.mark.slow
def test_four_algorithms_are_compared_on_a_world_and_a_single_run_has_no_interval() -> None:
    figure = comparison("CartPole-v1", 4096)
    computed = figure.compute(Effort(seeds=1))
    assert list(computed.numbers["last"]) == ["REINFORCE", "natural gradient", "TRPO", "PPO"]
    for one in computed.numbers["last"].values():
        assert 8 < one["mean"] < 500
        assert one["low"] is None
        assert one["n"] == 1
    assert drawn(figure, computed, "light", "png").startswith(b"\x89PNG")


def test_curves_of_the_alternatives_are_read_and_drawn(tmp_path: Path) -> None:
    gap = {"mean": [1.0, 0.0], "low": [0.5, 0.0], "high": [1.5, 0.0]}
    curve = {"kind": "dynamic programming", "seeds": 1, "evaluations": [10, 20], "gap": gap}
    (tmp_path / "curves.json").write_text(json.dumps({"tasks": {"gridworld": {"curves": {"value iteration": curve}}}}))
    figure = alternatives(tmp_path / "curves.json")
    computed = figure.compute(Effort())
    assert computed.numbers["gridworld"]["value iteration"]["gap"] == {"mean": 0.0, "low": 0.0, "high": 0.0}
    assert "gridworld: value iteration 0" in computed.caption
    assert drawn(figure, computed, "dark", "png").startswith(b"\x89PNG")
