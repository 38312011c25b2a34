"""Laws of the store: what was written is there, whatever happened since."""

import errno
import json
import os
from itertools import permutations
from pathlib import Path

import pytest
from tests.lab.runs import record, spec

from mementum.lab.records.journal import (
    JOURNAL,
    PLAN,
    SEGMENTS,
    Store,
    StoreError,
    resolve,
)
from mementum.lab.records.plan import Outline, Plan
from mementum.lab.records.run import RunRecord, Status

RECORDS = [record(spec(seed=seed), score=seed + 0.5) for seed in range(3)]


def keep(folder: Path, records: list[RunRecord]) -> None:
    with Store(folder) as store:
        for each in records:
            store.append(each)


def test_what_is_appended_is_read_back_in_order(tmp_path: Path) -> None:
    keep(tmp_path / "new" / "folder", RECORDS[:2])
    keep(tmp_path / "new" / "folder", RECORDS[2:])
    assert Store(tmp_path / "new" / "folder").records() == RECORDS


def test_a_folder_without_a_journal_holds_no_records(tmp_path: Path) -> None:
    assert Store(tmp_path).records() == []
    assert Store(tmp_path / "nowhere").records() == []


def test_a_torn_last_line_costs_its_own_record_and_no_other(tmp_path: Path) -> None:
    keep(tmp_path, RECORDS)
    journal = tmp_path / JOURNAL
    whole = journal.read_bytes()
    last = whole.rindex(b"\n", 0, -1) + 1
    for cut in range(last, len(whole)):
        journal.write_bytes(whole[:cut])
        assert Store(tmp_path).records() == RECORDS[:2]
        keep(tmp_path, RECORDS[2:])
        assert journal.read_bytes() == whole


def test_a_line_broken_elsewhere_is_named(tmp_path: Path) -> None:
    keep(tmp_path, RECORDS)
    lines = (tmp_path / JOURNAL).read_text().splitlines()
    lines[1] = lines[1][:40]
    (tmp_path / JOURNAL).write_text("\n".join(lines) + "\n")
    with pytest.raises(StoreError, match=r"journal\.jsonl, line 2, is broken"):
        Store(tmp_path).records()


@pytest.mark.parametrize(
    ("ours", "wrong", "words"),
    [
        ('"score":0.5', '"score":"high"', 'score is "high", not a number or null'),
        ('"score":0.5', '"score":null', "score is None and status finished"),
        ('"lr":0.001', '"lr":null', "lr is null, not a number"),
        ('"lr":0.001', '"lr":NaN', "lr is NaN, not a number"),
        ('"seed":0', '"seed":true', "seed is true, not a whole number"),
        ('"eps":1e-08', '"eps":{}', "options is"),
        ('"train":[1.0,', '"train":["a",', "train is"),
        ('"train":[1.0,', '"train":[', "differ in length"),
        ('"seconds":0.5', '"seconds":[]', "seconds is"),
    ],
)
def test_a_value_of_a_wrong_kind_is_named_with_its_line(
    tmp_path: Path, ours: str, wrong: str, words: str
) -> None:
    keep(tmp_path, RECORDS[:1])
    text = (tmp_path / JOURNAL).read_text()
    assert ours in text
    (tmp_path / JOURNAL).write_text(text.replace(ours, wrong))
    with pytest.raises(StoreError) as caught:
        Store(tmp_path).records()
    message = str(caught.value)
    assert f"{JOURNAL}, line 1, is broken (" in message
    assert words in message
    assert "Delete that line" in message


@pytest.mark.parametrize(
    ("ours", "wrong", "words"),
    [
        ('"margin":0.01', '"margin":"x"', 'margin is "x", not a number'),
        ('"scale":"log"', '"scale":"cubic"', 'scale is "cubic"'),
        ('"reference":"A"', '"reference":7', "reference is 7, not a text"),
        ('"lr":0.001', '"lr":"x"', 'lr is "x", not a number'),
    ],
)
def test_a_plan_with_a_value_of_a_wrong_kind_is_broken(
    tmp_path: Path, ours: str, wrong: str, words: str
) -> None:
    outline = Outline(
        name="a",
        title="",
        metric="",
        steps=10,
        deterministic=False,
        scale="log",
        margin=0.01,
        seconds=1.0,
    )
    with Store(tmp_path) as store:
        store.write_plan(Plan(tasks=(outline,), reference="A", runs=(spec(),)))
    text = (tmp_path / PLAN).read_text()
    assert ours in text
    (tmp_path / PLAN).write_text(text.replace(ours, wrong))
    with pytest.raises(StoreError, match="is broken") as caught:
        Store(tmp_path).read_plan()
    assert words in str(caught.value)
    assert "anew" in str(caught.value)


@pytest.mark.parametrize("name", [JOURNAL, PLAN])
def test_a_folder_in_a_files_place_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    with pytest.raises(StoreError) as reading:
        Store(tmp_path).records() if name == JOURNAL else Store(tmp_path).read_plan()
    with pytest.raises(StoreError) as writing, Store(tmp_path) as store:
        store.write_plan(Plan(tasks=(), reference="A", runs=()))
    for caught in (reading, writing):
        assert f"{tmp_path / name} is a folder" in str(caught.value)
        assert "Move it away" in str(caught.value)


def test_another_format_is_refused_by_its_number(tmp_path: Path) -> None:
    keep(tmp_path, RECORDS[:1])
    text = (tmp_path / JOURNAL).read_text()
    (tmp_path / JOURNAL).write_text(text.replace('"format":2', '"format":3'))
    with pytest.raises(StoreError, match="line 1, is written in format 3"):
        Store(tmp_path).records()


FIRST_FORM = (
    ("logreg-cancer", "AdamW", {}),
    ("logreg-cancer+cosine", "AdaXW-matched", {"schedule": "cosine"}),
    ("residual-digits+drops", "AdaX", {"schedule": "drops"}),
    ("mlp-digits+sharpness", "Adam", {"probe": "sharpness"}),
    ("two-basins+matched", "AdamNX", {"match_updates": True}),
    ("mine+yours", "SGD", {}),
)


@pytest.mark.parametrize(("task", "contender", "fields"), FIRST_FORM)
def test_the_first_form_had_in_names_what_are_fields_now(
    task: str, contender: str, fields: dict[str, object], tmp_path: Path
) -> None:
    keep(tmp_path, RECORDS[:1])
    plain = json.loads((tmp_path / JOURNAL).read_text())
    spec = plain["spec"] | {"task": task, "contender": contender}
    for name in ("schedule", "match_updates", "probe", "matched_memory"):
        del spec[name]
    del plain["digest"]
    line = json.dumps({**plain, "format": 1, "spec": spec})
    (tmp_path / JOURNAL).write_text(line + "\n")
    (found,) = Store(tmp_path).records()
    assert found.spec.labels == (task, contender)
    for name, value in fields.items():
        assert getattr(found.spec, name) == value
    assert found.spec.matched_memory is (contender == "AdaXW-matched")
    assert RunRecord.from_json(found.to_json()) == found


@pytest.mark.parametrize("result", [Status.FINISHED, Status.DIVERGED])
def test_of_several_records_of_a_run_a_result_wins_over_failures(
    tmp_path: Path, result: Status
) -> None:
    failed = record(spec(), status=Status.FAILED, error="no memory")
    ended = record(spec(), status=result)
    keep(tmp_path, [failed, failed])
    assert Store(tmp_path).records() == [failed]
    keep(tmp_path, [ended, failed])
    assert Store(tmp_path).records() == [ended]


def test_of_several_results_the_same_one_is_drawn_in_any_order() -> None:
    several = [record(spec(), score=score) for score in (0.1, 0.2, 0.3, 0.4, 0.5)]
    drawn = {resolve(order)[0].score for order in permutations(several)}
    assert len(drawn) == 1
    seeds = range(200)
    lower = [
        resolve([record(spec(seed=seed), score=score) for score in (0.1, 0.2)])[0].score
        == 0.1
        for seed in seeds
    ]
    # A fair coin leaves these bounds once in some 20,000 times; the draw is fixed.
    assert 72 <= sum(lower) <= 128


def test_records_come_sorted_by_what_they_are() -> None:
    runs = [
        spec(task=task, contender=contender, lr=lr, seed=seed)
        for task in ("a", "b")
        for contender in ("Adam", "SGD")
        for lr in (1e-10, 0.5, 2.0)
        for seed in (2, 10)
    ]
    mixed = [record(each) for each in sorted(runs, key=lambda run: run.run_id)]
    assert [each.spec for each in resolve(mixed)] == runs


def test_compacted_records_are_the_same_records(tmp_path: Path) -> None:
    strange = record(spec(seed=9, contender="dépôt 'x'\n"), status=Status.DIVERGED)
    folder = tmp_path / "a[1]* 'b'?"
    keep(folder, [*RECORDS, strange])
    before = Store(folder).records()
    with Store(folder) as store:
        store.compact()
        store.compact()
        assert (folder / JOURNAL).read_bytes() == b""
        store.append(record(spec(seed=4)))
    assert len(list((folder / SEGMENTS).iterdir())) == 1
    after = Store(folder).records()
    assert after == resolve([*before, record(spec(seed=4))])


def test_a_journal_at_its_limit_moves_into_a_segment(tmp_path: Path) -> None:
    line = len(RECORDS[0].to_json()) + 1
    runs = [record(spec(seed=seed)) for seed in range(10)]
    with Store(tmp_path, limit=3 * line) as store:
        for each in runs:
            store.append(each)
            assert store.records() == runs[: each.spec.seed + 1]
    assert len(list((tmp_path / SEGMENTS).iterdir())) == 3
    assert (tmp_path / JOURNAL).read_bytes().count(b"\n") == 1


def test_a_broken_segment_is_named_with_the_way_out(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        store.keep(RECORDS)
    (segment,) = (tmp_path / SEGMENTS).iterdir()
    whole = segment.read_bytes()
    renamed = segment.with_stem("0" * 32)
    for content, path in ((whole[:-9], segment), (b"", segment), (whole, renamed)):
        segment.unlink(missing_ok=True)
        path.write_bytes(content)
        with pytest.raises(StoreError, match="is broken") as caught:
            Store(tmp_path).records()
        assert str(path) in str(caught.value)
        assert "Copy it again" in str(caught.value)


def test_a_store_open_for_reading_writes_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for act in (lambda: store.append(RECORDS[0]), store.compact):
        with pytest.raises(RuntimeError, match="reading only"):
            act()
    assert list(tmp_path.iterdir()) == []


def test_two_processes_cannot_write_to_one_folder(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        with pytest.raises(StoreError, match="Another mementum is writing"):
            Store(tmp_path).__enter__()
        store.append(RECORDS[0])
        assert Store(tmp_path).records() == RECORDS[:1]
    keep(tmp_path, RECORDS[1:])
    assert Store(tmp_path).records() == RECORDS


@pytest.mark.parametrize("moment", ["nothing", "half", "unsynced"])
def test_a_full_disk_is_a_sentence_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    write = os.write

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    def half(descriptor: int, line: bytes) -> int:
        return write(descriptor, line[: len(line) // 2])

    with Store(tmp_path) as store:
        store.append(RECORDS[0])
        with monkeypatch.context() as patch:
            if moment == "unsynced":
                patch.setattr(os, "fsync", full)
            else:
                patch.setattr(os, "write", full if moment == "nothing" else half)
            with pytest.raises(StoreError, match="No space left") as caught:
                store.append(RECORDS[1])
        assert str(tmp_path) in str(caught.value)
        assert store.records() == RECORDS[:1]
        store.append(RECORDS[2])
    assert Store(tmp_path).records() == [RECORDS[0], RECORDS[2]]


def test_a_file_in_the_folders_place_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(StoreError, match="is not a folder"):
            Store(folder).__enter__()


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS])
def test_an_unwritable_folder_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(StoreError, match="is not writable"):
        Store(tmp_path).__enter__()


def test_a_plan_is_kept_beside_the_records_and_replaced_whole(tmp_path: Path) -> None:
    plans = [Plan(tasks=(), reference="A", runs=(r.spec,)) for r in RECORDS]
    with Store(tmp_path) as store:
        for plan in plans:
            store.write_plan(plan)
    assert Store(tmp_path).read_plan() == plans[-1]
    assert sorted(path.name for path in tmp_path.iterdir()) == [JOURNAL, PLAN]


@pytest.mark.parametrize("text", ["", "[]", "{}", "7", '{"format":1}', '{"format":3}'])
def test_a_broken_plan_is_a_sentence(tmp_path: Path, text: str) -> None:
    (tmp_path / PLAN).write_text(text)
    with pytest.raises(StoreError, match="is broken"):
        Store(tmp_path).read_plan()


def test_a_folder_without_a_plan_holds_no_comparison(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="holds no comparison"):
        Store(tmp_path).read_plan()
