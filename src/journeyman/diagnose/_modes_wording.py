"""What is said of modes, in a sentence and as a table.

Takes `ModeAveraging`, which is made of this sentence and so cannot be imported here.
"""

from typing import Any


def modes_finding(found: Any) -> str:
    """Whether modes are averaged, where, and by how much; or that none was told, and which would have been."""
    over = f"{found.valid} valid of {found.episodes} demonstrations" if found.valid < found.episodes else ""
    over = over or f"{found.episodes} demonstrations"
    if found.averages:
        return _averaged([one for one in found.places if one.averaged], over)
    two = [one for one in found.places if one.two]
    if two:
        first = two[0]
        return (
            f"The demonstrations act in two ways around step {first.step:.0f} ({_p(first.p)}, {over}), and the policy"
            f" does not act between them: its likeliest action lies at {first.position:.2f} of the way from the one to"
            f" the other, where the demonstrations have {first.valley:.2g} of the density of the lower mode."
        )
    if not found.places:
        return (
            f"No place was found where the demonstrations might act in two ways ({over}): everywhere the policy does"
            " what was done, or the observation tells what will be done."
        )
    least = min(one.p for one in found.places)
    raw = "" if found.raw_modes == 1 else " Over all demonstrations there are two: one way of acting fails."
    told = [one for one in found.places if one.p < found.level]
    by_state = " There are two ways at a place, but the observation tells which is taken." if told else ""
    return (
        f"No detectable second mode in {over} ({_p(least)}, the least of {len(found.places)} places); two equally"
        f" frequent ones {found.smallest:g} deviations apart would be told in four cases of five.{by_state}{raw}"
    )


def _averaged(places: list[Any], over: str) -> str:
    first = places[0]
    return (
        f"The policy averages modes: around step {first.step:.0f} the demonstrations act in two ways,"
        f" {first.separation:.1f} deviations apart and {first.shares[0]:.0%} to {first.shares[1]:.0%} ({_p(first.p)},"
        f" {over}), and the policy's likeliest action lies between them ({first.position:.2f} of the way), where its"
        f" density is {_times(first.ratio)} that of the demonstrations. A mixture holds both ways, and a reverse"
        " divergence seeks one."
    )


def modes_table(found: Any) -> str:
    """One line a place."""
    head = "around step  episodes      p  told apart  separation  position  valley  density over the demonstrations'"
    rows = [
        f"{one.step:11.0f}  {one.episodes:8d}  {one.p:5.3f}  {one.told_apart:10.3f}  {one.separation:10.1f}"
        f"  {one.position:8.2f}  {one.valley:6.2g}  {_times(one.ratio):>32s}"
        for one in found.places
    ]
    return "\n".join([head, *rows]) if rows else "No place could be asked about."


def _p(p: float) -> str:
    return f"p = {p:.2g} under one mode"


def _times(ratio: float) -> str:
    if ratio > 1e4:
        return "more than 10,000 times"
    return f"{ratio:,.3g} times"
