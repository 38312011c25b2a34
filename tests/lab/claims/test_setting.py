"""Laws of what a claim names as its task: read once, into the fields of a run."""

from dataclasses import replace

import pytest

from mementum.lab.claims.setting import MATCHED, parse
from mementum.lab.planning.schedule import FACTORS
from mementum.lab.running.probes import PROBES
from mementum.lab.tasks import registry
from mementum.lab.tasks.networks.mlp_digits import DIGITS


@pytest.mark.parametrize("word", [*FACTORS, MATCHED, *PROBES])
def test_a_word_sets_its_field_and_is_shown_again(word: str) -> None:
    setting = parse(f"mlp-digits+{word}")
    assert setting.task is DIGITS
    fields = (setting.schedule, setting.match_updates, setting.probe)
    assert (
        sum(a != b for a, b in zip(fields, ("constant", False, None), strict=True)) == 1
    )
    assert setting.label == f"mlp-digits+{word}"


def test_words_of_different_kinds_go_together_in_any_order() -> None:
    one, other = (
        parse("mlp-digits+drops+sharpness"),
        parse("mlp-digits+sharpness+drops"),
    )
    assert one == other
    assert one.label == "mlp-digits+drops+sharpness"


def test_the_name_of_a_users_file_may_hold_the_separator(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own = replace(DIGITS, name="mine+yours")
    monkeypatch.setattr(registry, "registered", {own.name: own}.get)
    assert parse("mine+yours+cosine").task is own
    assert parse("mine+yours+cosine").schedule == "cosine"
    assert parse("mine+yours").task is own


@pytest.mark.parametrize("name", ["mlp-digits+jump", "mlp-digits+", "no-task+drops"])
def test_an_unknown_word_is_named(name: str) -> None:
    with pytest.raises(LookupError, match=r"jump|''|no-task"):
        parse(name)


@pytest.mark.parametrize("words", ["drops+root", "sharpness+turn", "matched+matched"])
def test_a_second_word_of_a_kind_is_refused(words: str) -> None:
    with pytest.raises(LookupError, match="one word too many"):
        parse(f"mlp-digits+{words}")
