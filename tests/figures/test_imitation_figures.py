"""The imitation figures: their data against what is known, their drawing, and what is refused."""

import json
from pathlib import Path

import numpy as np
import pytest

from journeyman import JourneymanError, cli
from journeyman.figures import IMITATION, POLICY_GRADIENT, SETS, Computed, Effort, chosen, drawn, write
from journeyman.figures import _compounding as compounding

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


def test_a_seed_without_errors_or_without_an_exponent_is_left_out_and_counted() -> None:
    found = [compounding.with_known_errors("never", 50, seed) for seed in range(3)]
    told = compounding.summary(found)
    assert told["identified"] == sum(one.exponent is not None for one in found)
    assert (told["seeds"], len(told["exponents"])) == (3, 3)
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


def test_each_set_has_its_names_and_its_page(tmp_path: Path) -> None:
    assert dict(SETS) == {"policy-gradient": POLICY_GRADIENT, "imitation": IMITATION}
    assert [figure.name for figure in chosen((), "imitation")] == ["compounding", "labels", "noise", "trajectories"]
    assert [figure.name for figure in chosen(())] == [figure.name for figure in POLICY_GRADIENT.figures]
    with pytest.raises(
        JourneymanError, match=r"No figure is called 'horizon'\. The figures are compounding, labels, noise"
    ):
        chosen(("horizon",), "imitation")
    quick = IMITATION.figures[0]._replace(compute=lambda effort: synthetic(True))
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
