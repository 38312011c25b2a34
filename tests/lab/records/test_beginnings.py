"""Laws of beginnings: contenders of a seed that began otherwise are not compared."""

from dataclasses import replace

import pytest
from tests.lab.synthetic import Noise, SyntheticPlan, run

from mementum.lab.errors import LabError
from mementum.lab.records.beginnings import Beginnings
from mementum.lab.records.run import RunRecord, Status
from mementum.lab.statistics import analyse

PLAN = SyntheticPlan()
RECORDS = run(PLAN, Noise(PLAN))


def check(records: list[RunRecord]) -> None:
    beginnings = Beginnings()
    for record in records:
        beginnings.check(record)


def started(record: RunRecord, score: float) -> RunRecord:
    first = (score, *record.curve.validation[1:])
    return replace(record, curve=replace(record.curve, validation=first))


def test_runs_that_begin_alike_are_compared() -> None:
    check(RECORDS)
    check([replace(each, batches="ab") for each in RECORDS])
    check([replace(RECORDS[0], batches="ab"), *RECORDS[1:]])


@pytest.mark.parametrize("place", [0, 5, -1])
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda r: started(r, 9.0), "scores before training are 9"),
        (lambda r: started(r, r.curve.validation[0] * 1.001), "scores before"),
        (lambda r: replace(r, batches="b"), "first batches are others"),
    ],
)
def test_one_that_begins_otherwise_is_an_error(change, words, place):
    records = [replace(each, batches="a") for each in RECORDS]
    records[place] = change(records[place])
    for asked in (check, lambda found: analyse(found, PLAN)):
        with pytest.raises(LabError, match=f"did not begin alike on bowl.*({words}|)"):
            asked(records)


@pytest.mark.parametrize(
    "change",
    [
        lambda r: started(r, float("nan")),
        lambda r: started(r, r.curve.validation[0] * (1 + 1e-6)),
        lambda r: replace(started(r, 9.0), status=Status.FAILED, score=None),
        lambda r: replace(started(r, 9.0), environment={"cpu": "another"}),
        lambda r: replace(started(r, 9.0), spec=replace(r.spec, seed=99)),
    ],
)
def test_what_says_nothing_of_chance_is_no_error(change):
    check([*RECORDS[:3], change(RECORDS[3]), *RECORDS[4:]])
