"""Laws of what an argument may be: the command line and Python answer alike."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mementum import lab
from mementum.cli import main
from mementum.lab import arguments
from mementum.lab.errors import LabError

SMALL = {"tasks": ["logreg-cancer"], "contenders": ["SGD"], "seeds": 1, "lrs": 1}
OPTIONS = {"schedules": "--schedule", "files": "--task", "folder": "--out"}

REFUSED: list[tuple[str, Any, str]] = [
    ("seeds", "True", "seeds is True; give a whole number, 1 or more."),
    ("seeds", "0", "seeds is 0; give a whole number, 1 or more."),
    ("seeds", "10.5", "seeds is 10.5; give a whole number, 1 or more."),
    ("seeds", "nan", "seeds is nan; give a whole number, 1 or more."),
    ("lrs", "2", "lrs is 2; give an odd number, as the grid has the published default"),
    ("lrs", "1.5", "lrs is 1.5; give a whole number, 1 or more."),
    ("trials", "-1", "trials is -1; give a whole number, 0 or more."),
    ("widen", "x", "widen is x; give a whole number, 0 or more."),
    ("weight_decay", "x", "weight_decay is x; give a number, 0 or more."),
    ("weight_decay", "-0.1", "weight_decay is -0.1; give a number, 0 or more."),
    ("weight_decay", "nan", "weight_decay is nan; give a number, 0 or more."),
    ("weight_decay", "inf", "weight_decay is inf; give a number, 0 or more."),
    ("tier", "quik", "tier: no tier is named 'quik'; did you mean quick?"),
    ("tier", "", "tier names nothing; choose from smoke, quick, standard, paper."),
    ("reference", "AdaX", "reference: AdaX is an optimizer here, but no contender."),
    ("reference", "Lion", "reference: no contender is named 'Lion'"),
    ("reference", "SGD,Adam", "reference is SGD,Adam; give one name."),
    ("contenders", ["AdaX"], "contenders: AdaX is an optimizer here, but no contender."),
    ("contenders", ["adaxv"], "contenders: no contender is named 'adaxv'"),
    ("contenders", ["", ""], "contenders names nothing; choose from SGD, Adam,"),
    ("tasks", ["mlp-digit"], "tasks: no task is named 'mlp-digit'; did you mean"),
    ("tasks", ["", ""], "tasks names nothing; choose from reddi-periodic,"),
    ("tasks", ["GAN-ring"], "tasks: gan-ring has no part in tier quick; give tier with"),
    ("schedules", ["linear"], "schedules: no schedule is named 'linear'"),
    ("schedules", ["", ""], "schedules names nothing; choose from constant, cosine."),
    ("workers", "-1", "workers is -1; give a whole number, 0 or more."),
    ("workers", "two", "workers is two; give a whole number, 0 or more."),
    ("device", "gpu", "device is gpu; give cpu, cuda, xpu, mps or auto, and a number"),
    ("device", "cuda:x", "device is cuda:x; give cpu, cuda,"),
    ("device", "cpu:0", "device is cpu:0; give cpu, cuda,"),
    ("dask", " ", "dask is empty; give the scheduler's address."),
    ("folder", " ", "folder is empty; name a folder, or . for this one."),
]  # fmt: skip
"""An argument, a value as a command line has it, and how the sentence begins."""


def spelled(sentence: str, name: str) -> str:
    option = OPTIONS.get(name, "--" + name.replace("_", "-"))
    words = sentence.replace("give tier with", "give --tier with")
    return words.replace(name, option, 1)


def python(name: str, value: object, folder: Path) -> str:
    """The answer of Python to one argument that cannot be."""
    call: Callable[..., object] = lab.plan
    given: dict[str, Any] = SMALL
    if name in ("workers", "dask", "folder"):
        call, given = lab.compare, {"plan": lab.plan(**SMALL), "folder": folder}
    with pytest.raises(LabError) as refused:
        call(**(given | {name: value}))
    return str(refused.value)


@pytest.mark.parametrize(("name", "value", "beginning"), REFUSED)
def test_the_command_line_and_python_refuse_with_one_sentence(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    value: Any,
    beginning: str,
) -> None:
    out = tmp_path / "out"
    sentence = python(name, value, out)
    assert sentence.startswith(beginning)
    text = ",".join(value) if isinstance(value, list) else value
    option = spelled(name, name)
    given = ["compare", "--out", str(out), f"{option}={text}"]
    assert main(given) == 2
    assert capsys.readouterr().err == f"mementum compare: {spelled(sentence, name)}\n"
    assert not out.exists()


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("seeds", True, "True"),
        ("seeds", 10.5, "10.5"),
        ("lrs", 2, "2"),
        ("trials", -1, "-1"),
        ("weight_decay", math.nan, "nan"),
        ("weight_decay", True, "True"),
        ("weight_decay", 10**400, "1" + "0" * 400),
        ("workers", -1, "-1"),
        ("workers", 1.5, "1.5"),
    ],
)
def test_a_number_is_answered_as_its_digits_are(
    tmp_path: Path, name: str, value: object, text: str
) -> None:
    assert python(name, value, tmp_path) == python(name, text, tmp_path)


@pytest.mark.parametrize("name", ["tasks", "contenders", "schedules", "files"])
def test_a_list_is_not_a_lone_string(tmp_path: Path, name: str) -> None:
    answer = python(name, "one", tmp_path)
    assert answer == f"{name} is 'one'; give a list, such as ['one']."
    assert python(name, 3, tmp_path) == f"{name} is 3; give a list of names."


def test_a_folder_is_named_by_a_path(tmp_path: Path) -> None:
    answer = python("folder", 3, tmp_path)
    assert answer == "folder is 3; give the path of a folder."


def test_what_is_taken_is_taken_from_text_too_and_names_in_any_case() -> None:
    numbers = {"seeds": 2, "lrs": 3, "trials": 1, "widen": 0, "weight_decay": 0.1}
    text = {name: str(value) for name, value in numbers.items()}
    names = {"tasks": ["LOGREG-cancer"], "contenders": ["adaxw"], "reference": "sgd"}
    exact = {"tasks": ["logreg-cancer"], "contenders": ["AdaXW"], "reference": "SGD"}
    assert lab.plan(**names, **text) == lab.plan(**exact, **numbers)


def test_a_name_that_is_not_known_is_a_lookup_error_too() -> None:
    for changes in ({"tier": "quik"}, {"tasks": ["x"]}, {"reference": "Lion"}):
        with pytest.raises(LookupError):
            lab.plan(**(SMALL | changes))


def test_a_cluster_has_no_files_and_its_own_number_of_workers() -> None:
    assert arguments.cluster("tcp://a:1", None, []) == "tcp://a:1"
    with pytest.raises(LabError, match="dask tcp://a:1; workers is for this machine"):
        arguments.cluster("tcp://a:1", 2, [])
    with pytest.raises(LabError, match="as a package"):
        arguments.cluster("tcp://a:1", None, ["wine.py"])


# --- numbers of any size, and things of any kind

HUGE = [10**30, "9" * 20, 10**5000, "9" * 5000, -(10**30), "1e400", b"4", [4]]


@pytest.mark.parametrize("value", HUGE, ids=range(len(HUGE)))
@pytest.mark.parametrize("name", ["seeds", "lrs", "trials", "widen", "weight_decay"])
def test_a_number_of_any_size_is_a_short_sentence(name: str, value: Any) -> None:
    if name == "weight_decay" and value in (10**30, "9" * 20, b"4"):
        return
    with pytest.raises(LabError, match=f"^{name} is ") as caught:
        lab.plan(["quad"], ["SGD"], **{name: value})
    assert len(str(caught.value)) < 200
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", ["2001", "9" * 20, "-1", "0x10"])
@pytest.mark.parametrize("option", ["--seeds", "--lrs", "--workers", "--widen"])
def test_the_command_line_says_the_same(
    option: str, value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if (option, value) == ("--seeds", "2001"):
        return
    command = ["compare", "--tasks", "quad", "--contenders", "SGD", "--dry-run"]
    assert main([*command, option, value]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"mementum compare: {option} is {value}")
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("train", None),
        ("train", 3),
        ("train", "batches"),
        ("held", None),
        ("held", object()),
        ("loss", None),
        ("loss", "mse"),
        ("metric", 3),
        ("model", None),
        ("model", "resnet"),
        ("model", dict),
        ("steps", 10**30),
        ("evaluations", 10**30),
        ("seeds", 10**30),
        ("margin", 10**400),
        ("out", 3),
    ],
)
def test_an_argument_that_cannot_be_is_named(name: str, value: object) -> None:
    given: dict[str, Any] = {
        "model": dict,
        "loss": len,
        "train": [1],
        "held": [1],
        "steps": 1,
        "contenders": ["SGD"],
    }
    given["model"] = lambda: None
    with pytest.raises(LabError, match=f"^{name} is "):
        lab.compare_model(**given | {name: value})


def test_what_is_no_plan_is_named(tmp_path: Path) -> None:
    with pytest.raises(LabError, match=r"^plan is None"):
        lab.compare(None, tmp_path)  # type: ignore[arg-type]
