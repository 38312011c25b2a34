"""Laws of few runs: no rank, no tally and no "tuned" where no rate could be chosen."""

import io
import re

import pytest
from rich.console import Console
from tests.lab.synthetic import Noise, SyntheticPlan, SyntheticTask, run

from mementum.lab.report import number_words, page
from mementum.lab.report.terminal import table
from mementum.lab.statistics import analyse
from mementum.lab.statistics.controls import HEAVY_TAIL
from mementum.lab.statistics.pairs import Interval

FEW = [(1, 4), (1, 10), (3, 1), (3, 2), (3, 3), (5, 3), (1, 1)]
ENOUGH = [(3, 4), (5, 4), (3, 10)]
NAMES = ("AdamW", "Adam", "SGD")


def found(points, seeds, *, deterministic=False):
    tasks = tuple(
        SyntheticTask(name=name, deterministic=deterministic)
        for name in (HEAVY_TAIL, "bowl")
    )
    plan = SyntheticPlan(
        tasks=tasks, contenders=NAMES, points=points, seeds=tuple(range(seeds))
    )
    # Adam loses by much, where it is known to win.
    records = run(plan, Noise(plan, effects={"SGD": -0.5}, spread=0.003))
    return analyse(records, plan), records


def shown(analysis, records):
    console = Console(width=120, file=io.StringIO())
    console.print(table(analysis, details=True))
    body = page.render(analysis, records).partition("<body>")[2]
    return console.file.getvalue(), body.partition("<script>")[0]


@pytest.mark.parametrize(("points", "seeds"), FEW)
def test_few_rates_or_seeds_rank_nobody(points, seeds):
    analysis, records = found(points, seeds)
    heavy = analysis.controls[-1]
    assert heavy.passed is None
    assert heavy.words.startswith("not made")
    assert analysis.across.tasks == ()
    assert number_words.verdicts(analysis) == {}
    terminal, body = shown(analysis, records)
    for text in (terminal, body):
        assert "nothing is ranked, counted or" in text
        assert "do not trust" not in text
        bare = text.replace("called tuned", "").replace("untuned", "")
        assert "tuned" not in bare.lower()
        assert "mean rank" not in bare
        assert not re.search(r"Of \d+ verdicts", text)


@pytest.mark.parametrize(("points", "seeds"), ENOUGH)
def test_enough_of_both_rank_and_count(points, seeds):
    analysis, records = found(points, seeds)
    assert analysis.controls[-1].passed is False
    assert len(analysis.across.tasks) == 2
    terminal, body = shown(analysis, records)
    for text in (terminal, body):
        assert "against tuned AdamW" in text.replace("\n", " ")
        assert "do not trust" in text
        assert "Of 4 verdicts, " in text


@pytest.mark.parametrize("points", [1, 3])
def test_without_chance_the_rates_alone_count(points):
    analysis, _ = found(points, 1, deterministic=True)
    assert analysis.tuned is (points == 3)


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (-20.0, 20.0, "any"),
        (-1.0, 18.0, "any"),
        (-30.0, 0.1, "any"),
        (20.0, 21.0, "[x4.85e8, x1.32e9]"),
        (-0.1, 0.1, "[-9.5, 10.5]"),
    ],
)
def test_an_interval_in_which_any_effect_lies_says_so(low, high, words):
    analysis, _ = found(3, 4)
    interval = Interval(low=low, high=high, level=0.95)
    assert number_words.interval_words(interval, analysis.tasks[0]) == words
