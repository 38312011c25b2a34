"""Laws of the files that claims are read from: what they hold, and what is refused."""

import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.lab.claims.test_claims import NAMES

from mementum.cli import main
from mementum.lab.claims import claim as claims
from mementum.lab.claims import claim_file
from mementum.lab.claims.claim import ClaimError, Relation
from mementum.lab.claims.select import FILES, own, select
from mementum.lab.claims.setting import MATCHED
from mementum.lab.cli import reproduce
from mementum.lab.planning.schedule import FACTORS
from mementum.lab.running.probes import PROBES
from mementum.lab.tasks.claimed import PROBLEMS

GOOD = """
[paper]
name = "P"
title = "T"
source = "S"
read = "all"
[[claim]]
name = "T1"
sentence = "So it is."
where = "there"
[claim.arms.Adam]
contender = "Adam"
lrs = [1e-3]
[[claim.check]]
says = "so"
task = "mlp-digits"
arm = "Adam"
is = "below"
level = 1.0
"""
HEADING, _, REST = GOOD.partition("[[claim]]")
LEVEL = "level = 1.0"
BAD = {
    "no paper": ("[paper]", "[other]", ": no key is named 'other'"),
    "empty": (GOOD, "", ": paper is missing; give a table"),
    "no claim": (f"[[claim]]{REST}", "", ": claim is missing"),
    "no text": ('read = "all"', "read = 1", ", paper: read is 1, not a text"),
    "no name": ('name = "T1"', "", ", claim 1: name is missing"),
    "name": ('"T1"', '"T 1"', ', claim 1: name is "T 1", not a name'),
    "no where": ('where = "there"', "", ", claim T1: where is missing"),
    "kind": (GOOD, f"claim = 3{HEADING}", ": claim is 3, not a list of tables"),
    "arms": ("[claim.arms.Adam]", "[claim.arms]", ": arms is "),
    "relation": ('is = "below"', 'is = "less"', 'check 1: is is "less", not one of b'),
    "no relation": ('is = "below"', "", "check 1: is is missing; give one of below, a"),
    "no arm": ('arm = "Adam"', 'arm = "Eve"', "claim T1: 'Adam' is in no check"),
    "other arm": (LEVEL, 'against = "Eve"', "claim T1: 'Eve' is none of the claim's"),
    "itself": (LEVEL, 'against = "Adam"', "check 1: against is 'Adam', the arm itself"),
    "nothing against": (LEVEL, "", "check 1: give one of against, an arm, and level"),
    "two against": (LEVEL, f'{LEVEL}\nagainst = "Adam"', "check 1: give one of"),
    "margin": (LEVEL, f"{LEVEL}\nmargin = -1", "margin is -1, not a number of 0 or"),
    "nan": (LEVEL, "level = nan", "check 1: level is NaN, not a number"),
    "no logarithm": (LEVEL, "level = 0.0", "level is 0; give scale = "),
    "at": (LEVEL, f"{LEVEL}\nat = 0", "at is 0, not a share above 0, up to 1"),
    "value": (LEVEL, f'{LEVEL}\nvalue = "test"', 'value is "test", not one of'),
    "count": (LEVEL, f"{LEVEL}\ncount = 256", "count belongs to a share"),
    "unused": (LEVEL, f'{LEVEL}\nrates = "mean"\nchosen = "train"', "chosen is for a"),
    "rise": (LEVEL, f'{LEVEL}\nvalue = "rise"', "check 1: a rise is in nats"),
    "key": (LEVEL, f"{LEVEL}\nmargins = 1", "named 'margins'; did you mean margin"),
    "case": (LEVEL, f"{LEVEL}\nMargin = 1", "the key 'Margin' is written in lower"),
    "rates": ("[1e-3]", "[2e-3, 1e-3]", "claim T1, arm Adam: lrs is [0.002, 0.001]"),
    "no rates": ("[1e-3]", "[]", "claim T1, arm Adam: lrs is [], not a list of"),
    "rate": ("[1e-3]", "[-1e-3]", "claim T1, arm Adam: lrs is [-0.001], not a"),
    "kappa": ("[1e-3]", "[1e-3]\nkappa = 0", "arm Adam: kappa is 0, not a number"),
    "both": ('"there"', '"there"\nuntestable = "No."', "claim T1: give either checks"),
    "twice": (LEVEL, f"{LEVEL}\n[[claim]]{REST}", "another claim of"),
    "syntax": ("[[claim]]", "[[claim", " is no TOML (Expected"),
}


def test_a_ledger_file_is_read(tmp_path: Path) -> None:
    file = tmp_path / "good.toml"
    file.write_text(GOOD)
    (claim,) = claim_file.read(file)
    assert claim.checks[0].relation is Relation.BELOW


@pytest.mark.parametrize("fault", BAD)
def test_a_ledger_file_that_says_what_cannot_be_is_told_where_and_why(
    fault: str, tmp_path: Path
) -> None:
    file = tmp_path / "bad.toml"
    old, new, words = BAD[fault]
    assert old in GOOD
    file.write_text(GOOD.replace(old, new, 1))
    with pytest.raises(ClaimError) as raised:
        claim_file.read(file)
    assert str(raised.value).startswith(str(file))
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)


def refused(
    arguments: Sequence[str], capsys: pytest.CaptureFixture[str], *, shown: bool = False
) -> str:
    assert main(["reproduce", *arguments]) == 2
    printed = capsys.readouterr()
    assert bool(printed.out) is shown
    return printed.err


OWN = {
    "the name of another": ("T1", "r1", "claim r1: AMSGrad has a claim of this name"),
    "no task": ('"mlp-digits"', '"mlp-digit"', "check 1: no task is named 'mlp-digit'"),
    "a case": ('"mlp-digits"', '"MLP-digits"', "did you mean mlp-digits?"),
    "no modifier": (
        "mlp-digits",
        "mlp-digits+up",
        "check 1: mlp-digits+up: 'up' is no",
    ),
    "no such probe": ("mlp-digits", "two-basins+sharpness", "sharpness is meas"),
    "no contender": (
        'r = "Adam"',
        'r = "Yogi"',
        "arm Adam: no contender is named 'Yogi",
    ),
    "a matched one": ('r = "Adam"', 'r = "AdaXW-matched"', "arm Adam: no contender is"),
    "no option": ("[1e-3]", "[1e-3]\noptions = {size = 1}", "arm Adam: "),
    "option": ("[1e-3]", "[1e-3]\noptions = {eps = -1}", "arm Adam: Adam: eps is -1"),
    "no kappa": ("[1e-3]", "[1e-3]\nkappa = 7.0", "memory of Adam does not grow"),
}


@pytest.mark.parametrize("fault", OWN)
def test_a_claim_that_cannot_be_run_is_refused_before_any_run(
    fault: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "own.toml"
    old, new, words = OWN[fault]
    assert old in GOOD
    file.write_text(GOOD.replace(old, new, 1))
    out = tmp_path / "out"
    error = refused(["--claim", str(file), "--out", str(out)], capsys)
    assert error.startswith(f"mementum reproduce: {file}, claim ")
    assert words in error
    assert error.count("\n") == 1
    assert not out.exists()


@pytest.mark.parametrize(
    ("wanted", "times", "names"),
    [(None, 1, ["T1"]), (None, 2, ["T1"]), ("x4", 1, ["X4", "T1"])],
)
def test_claims_of_ones_own_are_run_alone_or_beside_named_ones(
    wanted: str | None, times: int, names: list[str], tmp_path: Path
) -> None:
    file = tmp_path / "one.toml"
    file.write_text(GOOD)
    chosen = reproduce.chosen(wanted, [str(file)] * times)
    assert [claim.name for claim in chosen] == names
    assert [claim.name for claim in reproduce.chosen(None, [])] == NAMES


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        ("all", NAMES),
        ("adax", [name for name in NAMES if name[0] == "X"]),
        ("r1,N3", ["R1", "N3"]),
        ("N3, AMSGrad,R1", [*(name for name in NAMES if name[0] == "R"), "N3"]),
    ],
)
def test_claims_are_chosen_by_claim_and_paper(wanted: str, names: list[str]) -> None:
    assert [claim.name for claim in select(wanted)] == names


@pytest.mark.parametrize("wanted", ["R9", "Adagrad", ",", ""])
def test_an_unknown_claim_is_answered_with_the_known_ones(wanted: str) -> None:
    with pytest.raises(ClaimError, match=r"R\d|AdaX"):
        select(wanted)


def test_the_documentation_lists_every_claim_and_key_and_its_example_can_be_run(
    tmp_path: Path,
) -> None:
    text = (Path(__file__).parents[3] / "docs" / "lab" / "claims.md").read_text()
    assert re.findall(r"^\| ([RXMN]\d(?:-\d)?) \|", text, re.MULTILINE) == NAMES
    keys = (claim_file.PAPER, claim_file.CLAIM, claim_file.ARM, claim_file.CHECK)
    named = {key for table in keys for key in table} - {"arms", "check"}
    problems = {problem.name for problem in PROBLEMS}
    for name in named | problems | {*FACTORS, MATCHED, *PROBES}:
        assert f"`{name}`" in text
    file = tmp_path / "own.toml"
    (example,) = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    file.write_text(example)
    (claim,) = own([str(file)])
    assert claim.checks[0].relation is Relation.EQUAL


def test_files_of_the_ledger_lie_beside_the_code() -> None:
    folder = Path(claims.__file__).with_name("papers")
    assert {path.stem for path in folder.glob("*.toml")} == set(FILES)
