"""Laws of the lists: as data they have what their tables show."""

import json
from pathlib import Path

import pytest

from mementum.cli import main
from mementum.lab.planning import contender
from mementum.lab.tasks.registry import offered
from mementum.lab.tasks.task import Tier

SOURCE = "torch.optim.Adamax"


def listed(words: list[str], capsys: pytest.CaptureFixture[str]) -> dict:
    assert main([*words, "--json"]) == 0
    return json.loads(capsys.readouterr().out, parse_constant=pytest.fail)


def test_every_task_has_its_sizes_and_every_tier_its_cost(
    capsys: pytest.CaptureFixture[str],
) -> None:
    plain = listed(["tasks"], capsys)
    sizes = {each["name"]: each["tiers"] for each in plain["tasks"]}
    assert list(sizes) == [task.name for task in offered()]
    for task in offered():
        at = {tier: task.at(tier) for tier in Tier}
        steps = {tier: size.steps for tier, size in at.items() if size is not None}
        assert {tier: each["steps"] for tier, each in sizes[task.name].items()} == steps
    assert list(plain["tiers"]) == list(Tier)
    assert all(each["runs"] and each["seconds"] for each in plain["tiers"].values())
    names = [each.name for each in contender.CONTENDERS]
    assert [each["name"] for each in plain["contenders"]] == names


@pytest.mark.parametrize("words", [[SOURCE], ["--contender", SOURCE]])
def test_every_contender_has_its_options_those_of_sources_last(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    plain = listed(["contenders", *words], capsys)["contenders"]
    assert plain[-1]["name"] == "Adamax"
    assert plain[-1]["identity"]
    known = {each["name"]: each for each in plain}
    for each in contender.CONTENDERS:
        assert known[each.name]["lr"] == each.lr
        assert known[each.name]["options"].keys() == each.options.keys()
    claimed = {name for name, each in known.items() if each["for_claims"]}
    assert claimed == {each.name for each in contender.OTHERS}


def test_a_source_that_is_not_there_is_a_sentence_and_no_data(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["contenders", str(tmp_path / "no.py"), "--json"]) == 2
    shown = capsys.readouterr()
    assert not shown.out
    assert shown.err.count("\n") == 1
