"""Tutorials and design notes run as they stand, and print what they show."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.docs import shown
from tests.trainers.pages import DOCS

# Each is a training of its own, and the last one a comparison.
pytestmark = pytest.mark.process
PAGES = sorted((*DOCS.glob("tutorials/*.md"), *DOCS.glob("design/*.md")))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_prints_what_it_shows(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    before = torch.get_num_threads(), torch.get_rng_state()
    torch.set_num_threads(1)
    try:
        found = shown.run(page)
    finally:
        torch.set_num_threads(before[0])
        torch.set_rng_state(before[1])
    assert page.parent.name != "tutorials" or any(each.says for each in found)
    for each in found:
        says = each.says or ""
        if not shown.agree(says, each.printed):
            assert each.printed == says


def test_numbers_may_differ_in_the_last_digit_alone() -> None:
    assert shown.agree("loss 0.60, 3 steps", "loss 0.61, 3 steps")
    assert not shown.agree("loss 0.60, 3 steps", "loss 0.62, 3 steps")
    assert not shown.agree("loss 0.60, 3 steps", "loss 0.60, 4 steps")
    assert not shown.agree("loss 0.60", "loss 0.600")
