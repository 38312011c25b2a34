"""In a notebook a comparison is its verdicts, and what forbids to trust them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.family.test_markup import ELEMENTS, HOSTILE, Reader
from tests.lab.synthetic import Noise, SyntheticPlan, SyntheticTask, run

from mementum.lab.experiment import verdict_matrix
from mementum.lab.experiment.comparison import Comparison
from mementum.lab.report.finding import headline
from mementum.lab.report.number_words import mean_words, screening_words
from mementum.lab.report.sentences import SIGNS, alarm, untuned_words
from mementum.lab.statistics import Analysis, Verdict, analyse
from mementum.lab.statistics.controls import Control

EFFECTS = {"SGD": 0.6, "AdaXW": -0.3, "Adam": 0.0}


def analysis(names: tuple[str, ...] = ("bowl", "valley"), seeds: int = 12) -> Analysis:
    plan = SyntheticPlan(
        tasks=tuple(SyntheticTask(name=name) for name in names),
        contenders=("AdamW", *EFFECTS),
        seeds=tuple(range(seeds)),
    )
    return analyse(run(plan, Noise(plan, effects=EFFECTS, spread=0.003)), plan)


def test_every_verdict_stands_with_its_sign_and_its_effect() -> None:
    found = analysis()
    said, caption, *cells = Reader(verdict_matrix.html(found)).cells
    assert said == headline(found)
    assert "AdamW" in caption
    assert cells[:4] == ["", "SGD", "AdaXW", "Adam"]
    for index, task in enumerate(found.tasks):
        name, *verdicts = cells[4 * (index + 1) : 4 * (index + 2)]
        assert name == task.name
        for rival, cell in zip(EFFECTS, verdicts, strict=True):
            result = task.result(rival)
            assert result is not None
            assert result.contrast is not None
            effect = mean_words(result.contrast, task)
            assert cell.endswith(f" {result.verdict.value} {effect}")
        assert [cell[0] for cell in verdicts] == ["▼", "▲", "="]


def test_every_verdict_has_a_sign_of_its_own() -> None:
    assert SIGNS.keys() == {*Verdict}
    assert len({*SIGNS.values()}) == len(Verdict)


def test_what_forbids_to_trust_or_to_rank_stands_first() -> None:
    found = analysis()
    broken = replace(found, checks=(Control(name="equals", passed=False, words="no"),))
    first, said, caption, *_ = Reader(verdict_matrix.html(broken)).cells
    assert first == alarm(broken)
    assert said == headline(broken)
    assert caption.startswith("Against")
    screened = analysis(seeds=5)
    assert Reader(verdict_matrix.html(screened)).cells[1] == screening_words(screened)
    few = analysis(seeds=2)
    assert untuned_words(few) in Reader(verdict_matrix.html(few)).cells


@pytest.mark.parametrize("name", [name for name in HOSTILE if name])
def test_hostile_names_are_shown_as_they_are(name: str) -> None:
    found = analysis((name,), seeds=2)
    renamed = replace(
        found,
        contenders=("AdamW", name),
        tasks=tuple(
            replace(
                task,
                results=tuple(
                    replace(result, contender=name)
                    if result.contender == "SGD"
                    else result
                    for result in task.results
                ),
            )
            for task in found.tasks
        ),
    )
    read = Reader(verdict_matrix.html(renamed))
    assert read.elements <= ELEMENTS
    *_, rival, task, verdict = read.cells
    assert (rival, task) == (name, name)
    assert "worse" in verdict or "inconclusive" in verdict


def test_what_did_not_run_has_no_verdict() -> None:
    found = analysis(("bowl",))
    more = replace(found, contenders=(*found.contenders, "Absent"))
    assert Reader(verdict_matrix.html(more)).cells[-1] == "-"


def test_a_comparison_shows_its_analysis(monkeypatch: pytest.MonkeyPatch) -> None:
    found = analysis(("bowl",))
    monkeypatch.setattr(Comparison, "analysis", found)
    comparison = Comparison(plan=None, records=[])  # type: ignore[arg-type]
    assert comparison._repr_html_() == verdict_matrix.html(found)
    assert repr(comparison) == "Comparison(plan=None, records=[])"
