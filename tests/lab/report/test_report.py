"""Laws of the report: it shows everything, loads nothing and survives anything."""

import html
import io
import itertools
import json
import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from matplotlib.markers import MarkerStyle
from rich.console import Console
from tests.lab.synthetic import Noise, SyntheticPlan, SyntheticTask, replaced, run

from mementum.lab.planning import contender
from mementum.lab.report import (
    finding,
    methods,
    number_words,
    page,
    sentences,
    tables,
    templating,
)
from mementum.lab.report.export import files
from mementum.lab.report.export.json_form import to_dict
from mementum.lab.report.figures import axes, palette
from mementum.lab.report.figures.bands import bands
from mementum.lab.report.figures.drawing import draw, spread
from mementum.lab.report.figures.figure_set import FigureSet
from mementum.lab.report.figures.inline_svg import Styles, inline
from mementum.lab.report.terminal import table
from mementum.lab.statistics import Analysis, Trouble, Verdict, analyse
from mementum.lab.statistics.pairs import Interval

CONTENDERS = (
    "SGD",
    "Adam",
    "AdamW",
    "AMSGrad",
    "AdamNC",
    "AdaXW",
    "AdamNX",
    "AdaMomentum",
)
TASKS = (
    SyntheticTask(
        name="reddi-periodic",
        title="a periodic problem",
        metric="share of phases that drift the wrong way",
        steps=10_100,
        deterministic=True,
        scale="linear",
    ),
    SyntheticTask(
        name="logreg-cancer",
        title="logistic regression",
        steps=1000,
        target=1.1,
        untrained=2.3,
        best=1.0,
    ),
    SyntheticTask(
        name="mlp-digits",
        title="a perceptron",
        steps=600,
        target=1.2,
        untrained=2.3,
        best=1.0,
    ),
)
EFFECTS = {"SGD": 0.6, "Adam": 0.0, "AdaXW": -0.3, "AdamNX": -0.2, "AMSGrad": 0.01}
FETCHING = {"src", "href", "srcset", "data", "action", "poster", "background"}


def comparison(plan: SyntheticPlan, spread=0.003):
    """A plan's records and their analysis."""
    records = run(plan, Noise(plan, effects=EFFECTS, spread=spread))
    return analyse(records, plan), records


@pytest.fixture(scope="module")
def full():
    """Eight contenders on three tasks; runs that diverged, failed and are missing."""
    plan = SyntheticPlan(tasks=TASKS, contenders=CONTENDERS)
    records = run(plan, Noise(plan, effects=EFFECTS, spread=0.003))
    top = plan.lrs("SGD")[-1]
    records = replaced(records, math.inf, lambda s: (s.contender, s.lr) == ("SGD", top))
    records = replaced(
        records,
        None,
        lambda s: (
            (s.task, s.contender, s.lr, s.seed) == ("mlp-digits", "AMSGrad", 1e-4, 1)
        ),
    )[:-1]
    return analyse(records, plan), records


@pytest.fixture(scope="module")
def full_page(full):
    """The page of the full comparison."""
    return page.render(*full)


class Reader(HTMLParser):
    """What a browser would see: attributes, text, and well-nested elements."""

    VOID = frozenset({"meta", "br", "line", "link", "img", "input"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("script", "style"):
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def printed(analysis: Analysis, width: int) -> str:
    """What a terminal of this width shows with all details, without colour."""
    console = Console(width=width, file=io.StringIO())
    console.print(table(analysis, details=True))
    return console.file.getvalue()


# --- the page


def test_the_page_shows_every_task_contender_and_verdict(full, full_page):
    analysis, _ = full
    text = Reader(full_page).text
    for task in analysis.tasks:
        assert task.name in text
        assert task.title in text
        for result in task.results:
            assert result.contender in text
            assert result.verdict.value in text
            if result.contrast and result.contrast.verdict_interval:
                words = number_words.interval_words(
                    result.contrast.verdict_interval, task
                )
                assert templating.typeset(words) in text


def test_the_page_is_well_formed_and_names_its_language(full_page):
    reader = Reader(full_page)
    assert reader.open == []
    assert ("html", {"lang": "en"}) in reader.elements
    names = [attributes.get("name") for _, attributes in reader.elements]
    assert "viewport" in names


def test_every_id_is_there_once_and_every_link_leads_to_one(full_page):
    elements = Reader(full_page).elements
    ids = [attributes["id"] for _, attributes in elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes in elements:
        if "href" in attributes:
            assert attributes["href"].removeprefix("#") in ids
        if "aria-labelledby" in attributes:
            assert attributes["aria-labelledby"] in ids


def test_the_page_fetches_nothing(full_page):
    reader = Reader(full_page)
    for tag, attributes in reader.elements:
        assert tag not in ("link", "img", "iframe", "object", "embed", "base")
        for name in FETCHING & attributes.keys():
            assert str(attributes[name]).startswith("#")
    styles = re.findall(r"<style>(.*?)</style>", full_page, re.DOTALL)
    assert not any("url(" in style or "@import" in style for style in styles)
    policy = [a["content"] for _, a in reader.elements if "http-equiv" in a]
    assert policy[0].startswith("default-src 'none'")


def test_every_figure_can_be_read_out(full, full_page):
    figures = [a for _, a in Reader(full_page).elements if a.get("role") == "img"]
    assert len(figures) == len(FigureSet.of(*full).all()) == 3 * 4 + 2 + 2
    assert all(len(str(figure["aria-label"])) > 30 for figure in figures)


def test_every_series_is_a_group_that_says_whose_it_is_and_what(full):
    for figure in FigureSet.of(*full).all():
        text = inline(draw(figure), Styles())
        owners = re.findall(r'data-contender="([^"]*)"', text)
        assert set(owners) == set(figure.shown())
        titles = set(re.findall(r"<title>(.*?)</title>", text))
        for each in figure.series:
            said = [f"{each.name}, {words}" for words in each.points]
            said += [f"{each.name}, {words}" for _, words in each.crosses]
            wanted = {html.escape(words) for words in filter(None, [each.words, *said])}
            assert wanted <= titles


def test_a_figure_beside_the_page_is_the_one_in_it(full):
    for figure in FigureSet.of(*full).all():
        drawing = draw(figure)
        alone = re.findall(r"<text[^>]*>([^<]+)</text>", drawing.svg)
        inside = re.findall(r"<text[^>]*>([^<]+)</text>", inline(drawing, Styles()))
        titles = len(alone) - len(inside)
        assert titles >= 1
        assert sorted(set(inside) - set(alone)) == []
        assert drawing.png().startswith(b"\x89PNG")


def test_coordinates_have_a_tenth_and_ids_are_the_figures_own(full):
    seen: set[str] = set()
    for figure in FigureSet.of(*full).all():
        text = inline(draw(figure), Styles())
        assert not re.search(
            r"\d\.\d\d",
            re.sub(r"<(text|title).*?</\1>|aria-label=\"[^\"]*\"", "", text),
        )
        ids = set(re.findall(r' id="([^"]+)"', text))
        assert all(each.startswith(figure.name) for each in ids)
        assert not ids & seen
        seen |= ids
        assert set(re.findall(r"url\(#([^)]+)\)|href=\"#([^\"]+)\"", text))


def test_labels_stand_apart_and_in_order():
    for places in ([0.5] * 4, [0.0, 0.01, 0.99, 1.0], [1.0] * 3, [], [0.3]):
        found = spread(places, 0.1)
        gaps = [after - before for before, after in itertools.pairwise(found)]
        # Sums of tenths are off by an ulp.
        assert all(gap >= 0.1 - 1e-12 for gap in gaps)
        assert all(-1e-12 <= place <= 1.0 for place in found)


def test_panels_that_share_the_contenders_say_whose_they_are():
    names = [f"rival-{i}" for i in range(10)]
    analysis, records = comparison(SyntheticPlan(contenders=("AdamW", *names)))
    captions = re.findall(
        "<figcaption>(.*?)</figcaption>", page.render(analysis, records)
    )
    halves = [": AdamW, " + ", ".join(half) for half in (names[:5], names[5:])]
    for half in halves:
        assert sum(caption.endswith(half) for caption in captions) >= 3


def test_no_panel_has_more_than_ten_contenders():
    names = [f"C{i}" for i in range(20)]
    groups = palette.panels([*names, "AdamW"], "AdamW")
    assert all(len(group) <= 10 and group[0] == "AdamW" for group in groups)
    assert [name for group in groups for name in group[1:]] == names


def test_the_looks_of_a_panel_differ_in_more_than_colour():
    looks = palette.looks(CONTENDERS, "AdamW").values()
    assert len({look.colour for look in looks}) == 8
    assert len({look.marker for look in looks}) == 8


def test_no_two_contenders_look_alike_however_many_there_are():
    known = [each.name for each in contender.CONTENDERS]
    more = [f"C{i}" for i in range(21 - len(known))]
    looks = palette.looks([*known, *more], "AdamW").values()
    assert len({(look.colour, look.dashes) for look in looks}) == 21
    assert len({(look.colour, look.marker) for look in looks}) == 21
    assert {look.marker for look in looks} <= MarkerStyle.markers.keys()


def test_the_reference_is_drawn_first_and_dashed(full):
    figures = FigureSet.of(*full).tasks[2]
    for figure in figures:
        if figure.name.startswith(("curve", "rates")):
            assert figure.series[0].name == "AdamW"
            assert figure.series[0].look.dashes


def test_the_curves_end_at_the_scores_that_are_compared(full):
    analysis, records = full
    task = analysis.tasks[2]
    for band in bands(task, records, "validation"):
        scored = [s.value for s in task.result(band.contender).choice.scored]
        values = [math.exp(v) for v in scored if v is not None and math.isfinite(v)]
        # exp(log(x)) returns x to a few ulp.
        assert band.low[-1] == pytest.approx(min(values), rel=1e-14)
        assert band.high[-1] == pytest.approx(max(values), rel=1e-14)


HOSTILE = "</script><img src=x onerror=alert(1)>&\"'"


@pytest.mark.parametrize("subject", [HOSTILE, "../../up", ".", "a" * 300, "é/ö"])
def test_a_figures_file_lies_in_its_folder_whatever_the_task_is_called(full, subject):
    figure = replace(FigureSet.of(*full).tasks[0][0], subject=subject)
    assert Path(figure.file).name == figure.file
    assert figure.file.endswith(figure.name)
    assert len(figure.file) < 100


def test_hostile_names_are_escaped():
    plan = SyntheticPlan(
        tasks=(SyntheticTask(name=HOSTILE, title=HOSTILE, metric=HOSTILE),),
        contenders=("AdamW", HOSTILE),
    )
    records = run(plan, lambda s: None if s.seed == 0 else 1.0)
    records = [
        replace(record, error=HOSTILE, environment={HOSTILE: HOSTILE})
        for record in records
    ]
    text = page.render(analyse(records, plan), records)
    reader = Reader(text)
    assert "<img" not in text
    assert "img" not in [tag for tag, _ in reader.elements]
    assert HOSTILE in reader.text


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "name",
    ["日本語", "a\x07b", "\x1b[31m", "$\\frac{1}$", "", "a\nb", "_under", "%s {x}"],
)
def test_a_figure_can_be_drawn_whatever_names_are(name, tmp_path):
    plan = SyntheticPlan(
        tasks=(SyntheticTask(name=name, title=name, metric=name),),
        contenders=("AdamW", name or "none"),
    )
    analysis, records = comparison(plan)
    drawings = page.write(analysis, records, tmp_path / "page.html")
    files.pictures(drawings, tmp_path / "figures")
    assert len(list((tmp_path / "figures").iterdir())) == 2 * len(drawings)


def test_hostile_names_print_as_they_are():
    plan = SyntheticPlan(contenders=("AdamW", "[red]C[/red]"))
    analysis, _ = comparison(plan)
    assert "[red]C[/red]" in printed(analysis, 80)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda _: [], id="nothing-done"),
        pytest.param(
            lambda records: replaced(records, None, lambda _: True), id="all-failed"
        ),
        pytest.param(
            lambda records: replaced(records, math.inf, lambda _: True),
            id="all-diverged",
        ),
        pytest.param(
            lambda records: replaced(
                records, math.inf, lambda s: s.contender == "AdaXW"
            ),
            id="one-diverged",
        ),
        pytest.param(
            lambda records: [r for r in records if r.spec.contender != "AdamW"],
            id="no-reference",
        ),
        pytest.param(
            lambda records: replaced(records, 1e-300, lambda _: True), id="all-tiny"
        ),
        pytest.param(lambda records: records[::3], id="interrupted"),
    ],
)
@pytest.mark.parametrize("scale", ["log", "linear"])
@pytest.mark.parametrize("seeds", [(0,), (0, 1, 2, 3)], ids=["one-seed", "four-seeds"])
def test_nothing_that_went_wrong_breaks_the_report(change, scale, seeds):
    plan = SyntheticPlan(tasks=(SyntheticTask(scale=scale),), seeds=seeds)
    _, records = comparison(plan)
    records = change(records)
    analysis = analyse(records, plan)
    text = Reader(page.render(analysis, records)).text
    assert "Methods" in text
    assert "AdaXW" in printed(analysis, 60)
    json.dumps(to_dict(analysis), allow_nan=False)


def test_a_plan_without_rivals_or_reference_is_reported_too():
    for contenders in (("AdamW",), ("Adam",)):
        analysis, records = comparison(SyntheticPlan(contenders=contenders))
        assert contenders[0] in Reader(page.render(analysis, records)).text
        assert contenders[0] in printed(analysis, 80)


def test_an_interrupted_write_leaves_the_old_page(tmp_path, monkeypatch, full):
    path = tmp_path / "report.html"
    path.write_text("old")

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.replace", fail)
    with pytest.raises(OSError, match="No space left"):
        page.write(*full, path)
    assert path.read_text() == "old"
    assert [each.name for each in tmp_path.iterdir()] == ["report.html"]


def test_the_page_does_not_depend_on_the_order_of_the_records(full, full_page):
    analysis, records = full
    assert page.render(analysis, records[::-1]) == full_page


def test_a_figure_weighs_little(full_page, full):
    assert len(full_page) < 30_000 * len(FigureSet.of(*full).all())


def test_a_column_in_which_nothing_stands_is_left_out(full):
    found = tables.table("t", [{"a": "1", "b": "", "c": number_words.NONE}, {"b": ""}])
    assert [column.head for column in found.columns] == ["a"]
    assert [len(row) for row in found.rows] == [1, 1]
    analysis, _ = full
    heads = [
        column.head for column in tables.tuning(analysis.tasks[0], analysis).columns
    ]
    assert "Reached" not in heads
    heads = [
        column.head for column in tables.tuning(analysis.tasks[1], analysis).columns
    ]
    assert "Reached" in heads


# --- the finding


def effects_on(number, **effects):
    tasks = tuple(SyntheticTask(name=f"task-{i}") for i in range(number))
    plan = SyntheticPlan(
        tasks=tasks, contenders=("AdamW", *effects), seeds=tuple(range(10))
    )
    noise = Noise(plan, spread=0.003)

    def score(spec):
        effect = effects.get(spec.contender, {}).get(int(spec.task[-1]), 0.0)
        return noise(spec) * math.exp(effect)

    return analyse(run(plan, score), plan)


@pytest.mark.parametrize(
    ("number", "effects", "said"),
    [
        (
            3,
            {"A": {0: -0.3, 2: -0.3}, "B": {1: 0.3}},
            "A is better than tuned AdamW on 2 of 3 tasks, worse on none",
        ),
        (
            3,
            {"A": {0: -0.3, 2: 0.3}, "B": {1: 0.3}},
            "Nobody is shown better than tuned AdamW over 3 tasks",
        ),
        (
            3,
            {"A": {0: -0.3}, "B": {1: -0.3}},
            "A and B are each better than tuned AdamW on 1 of 3 tasks, worse on none",
        ),
        (1, {"A": {0: -0.3}, "B": {0: 0.3}}, "A is better than tuned AdamW on task-0"),
        (1, {"A": {0: 0.3}}, "Nobody is shown better than tuned AdamW on task-0"),
        (2, {}, "Tuned AdamW alone on 2 tasks"),
    ],
)
def test_the_title_is_the_finding(number, effects, said):
    analysis = effects_on(number, **effects)
    assert finding.headline(analysis) == said
    few = replace(
        analysis, tasks=[replace(t, seeds=(0, 1, 2, 3)) for t in analysis.tasks]
    )
    told = "" if "alone" in said else "Screening: "
    assert finding.headline(few) == told + said


# --- the methods


def test_the_methods_state_the_protocol(full):
    analysis, _ = full
    text = " ".join(methods.paragraphs(analysis))
    for needed in (
        "cross-fitting",
        "No seed's own runs take part in choosing the rate it is scored at",
        "weight decay included",
        "weight_decay 0.05",
        "Holm",
        f"{analysis.runs_planned:,} runs",
        "suggests",
        "torch 2.13.0",
        "0123456789abcdef",
        "1 % of the score on mlp-digits",
        "0.01 as a plain difference on reddi-periodic",
        "diverged",
    ):
        assert needed in text


def test_the_methods_say_what_was_set_beforehand(full):
    analysis, _ = full
    text = " ".join(methods.paragraphs(analysis))
    for needed in (
        "flagged, and not widened",
        "constant over a run.",
        "1.10 on logreg-cancer; 1.20 on mlp-digits",
        "reddi-periodic has no target",
        "Every task has the same weight.",
        f"On {number_words.count(len(analysis.across.scored), 'task')}, scores were",
    ):
        assert needed in text
    assert analysis.across.scored


def test_the_methods_say_what_was_set_otherwise():
    plan = SyntheticPlan(
        tasks=(
            TASKS[1],
            replace(TASKS[1], name="logreg-cancer+cosine", schedule="cosine"),
        ),
        contenders=("SGD", "AdamW"),
        widen=2,
        weight_decay=0.05,
    )
    kin = tuple(replace(task, family="logreg-cancer") for task in plan.tasks)
    analysis, _ = comparison(replace(plan, tasks=kin))
    text = " ".join(methods.paragraphs(analysis))
    assert "a weight decay of 0.05 for everyone" in finding.basis(analysis)
    for needed in (
        "widened there by two rates, 2 times at most",
        'except on tasks named "+cosine" (linear warm-up over 5 % of the steps',
        "Weight decay was 0.05 for every contender (decoupled from the gradient; torch",
        "logreg-cancer and logreg-cancer+cosine are of one family,",
    ):
        assert needed in text


def test_grids_of_several_sizes_are_named_by_all_of_them(full):
    analysis, _ = full
    (size,) = {
        len(result.choice.grid.lrs)
        for task in analysis.tasks
        for result in task.results
    }
    assert f"; {size} learning rates each" in finding.basis(analysis)
    first, *others = analysis.tasks
    result, *beside = first.results
    grid = result.choice.grid
    wide = replace(
        result, choice=replace(result.choice, grid=replace(grid, lrs=(*grid.lrs, 1e3)))
    )
    tasks = (replace(first, results=(wide, *beside)), *others)
    words = finding.basis(replace(analysis, tasks=tasks))
    assert f"; {size} or {size + 1} learning rates each" in words


def test_the_methods_give_the_horizons_of_growing_memories(full):
    analysis, _ = full
    text = " ".join(methods.paragraphs(analysis))
    # 600 log1p(1e-4) = 0.05999; 600 (1 - 0.99) (-log 0.99) = 0.0603.
    assert "on mlp-digits AdamNC 0, AdaXW 0.06, AdamNX 0.06" in text
    assert "on reddi-periodic AdamNC 0, AdaXW 1, AdamNX 1" in text
    assert "nearly the same memory" in text


def test_where_nothing_has_a_score_nothing_is_found():
    plan = SyntheticPlan()
    assert finding.headline(analyse([], plan)) == "No run has given a result"
    told = finding.basis(analyse([], plan))
    assert told == f"{len(plan.specs())} runs planned; {len(plan.specs())} missing."
    diverged = analyse(run(plan, lambda _: math.inf), plan)
    assert finding.headline(diverged) == "Every run diverged"
    assert "verdict" not in finding.basis(diverged)
    assert not diverged.tasks[0].deterministic


# --- the terminal


def first_screen(analysis, width=80):
    console = Console(width=width, file=io.StringIO())
    console.print(table(analysis))
    return console.file.getvalue()


def test_the_answer_fits_a_screen_with_a_sign_for_every_verdict(full):
    analysis, _ = full
    text = first_screen(analysis)
    lines = text.splitlines()
    assert len(lines) <= 22
    assert " ".join(text.split()).startswith(finding.headline(analysis))
    for task in analysis.tasks:
        row = next(line for line in lines if line.startswith(task.name))
        signs = [
            sentences.SIGNS[result.verdict]
            for result in task.results
            if result.contender != analysis.reference
        ]
        assert row.split()[1:] == signs


@pytest.mark.parametrize("width", [60, 80, 120])
def test_no_line_is_wider_than_the_terminal(full, width):
    lines = printed(full[0], width).splitlines()
    assert max(map(len, lines)) <= width


@pytest.mark.parametrize("width", [60, 80])
def test_the_terminal_says_every_verdict_in_words_and_numbers(full, width):
    analysis, _ = full
    text = printed(analysis, width)
    for task in analysis.tasks:
        part = text[text.index(f"{task.name}  {task.title}") :]
        for result in task.results:
            pattern = rf"^{result.contender} +{result.verdict.value}"
            line = re.search(pattern + ".*$", part, re.MULTILINE)
            assert line
            if result.contrast and result.verdict is not Verdict.FAILED:
                assert number_words.effect_words(result.contrast, task) in line.group()


def test_an_inconclusive_line_states_what_was_detectable():
    plan = SyntheticPlan()
    analysis, _ = comparison(plan, spread=0.3)
    assert analysis.tasks[0].result("AdaXW").verdict is Verdict.INCONCLUSIVE
    assert "detectable from " in " ".join(printed(analysis, 60).split())


def test_the_terminal_survives_ascii(full):
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    Console(width=80, file=stream).print(table(full[0], details=True))
    stream.flush()


def test_the_edge_of_a_grid_is_marked():
    plan = SyntheticPlan()
    records = run(plan, lambda spec: 1 / spec.lr)
    text = printed(analyse(records, plan), 80)
    assert "an end of its grid" in " ".join(text.split())


# --- numbers


@pytest.mark.parametrize(
    ("low", "high"), [(1e-5, 1e3), (0.06, 0.17), (1.0, 9.0), (0.999, 1.001), (3e-8, 2)]
)
def test_a_logarithmic_axis_has_between_two_and_nine_labels(low, high):
    ticks = axes.logarithmic("", low, high).ticks
    assert 2 <= len(ticks) <= 9
    assert len(set(ticks.values())) == len(ticks)


@pytest.mark.parametrize(
    ("lr", "words"),
    [(1e-3, "0.001"), (3.16e-4, "3.16e-4"), (0.316, "0.316"), (1e-5, "1e-5"), (1, "1")],
)
def test_learning_rates_read_as_people_write_them(lr, words):
    assert number_words.rate(lr) == words


@pytest.mark.parametrize(
    ("number", "digits", "words"),
    [(-12.34, 1, "-12.3"), (-0.04, 1, "0.0"), (0.0, 0, "0"), (2e6, 0, "2.0e+06")],
)
def test_a_number_that_rounds_to_zero_has_no_sign(number, digits, words):
    assert number_words.signed(number, digits) == words


@pytest.mark.parametrize(
    ("change", "words"),
    [(5.93, "590 %"), (0.0751, "7.5 %"), (18.6, "x20"), (1100, "x1100")],
)
def test_a_detectable_effect_has_two_digits_and_no_exponent(change, words):
    task = analyse([], SyntheticPlan()).tasks[0]
    assert number_words.size_words(math.log1p(change), task) == words


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (0.93, 9.99, "[93.0, 999]"),
        (5.93, 11.0, "[593 %, x12]"),
        (11.0, 1100.0, "[x12, x1100]"),
        (0.5, 1.9e7, "[50.0 %, x1.9e7]"),
        (1.9e7, 4.75e17, "[x1.9e7, x4.75e17]"),
    ],
)
def test_beyond_a_thousand_percent_effects_are_factors(low, high, words):
    task = analyse([], SyntheticPlan()).tasks[0]
    interval = Interval(low=math.log1p(low), high=math.log1p(high), level=0.95)
    assert number_words.interval_words(interval, task) == words
    labels = axes.relative("", 0.0, math.log1p(high)).ticks.values()
    assert any(label[0] == "x" for label in labels) is (high > 20)
    assert all(label[0] == "x" or len(label) <= 5 for label in labels)


# --- troubles and costs


def test_troubles_that_differ_in_rate_and_seed_alone_are_one_line(full):
    def trouble(lr, seed, kind="failed", error="no"):
        return Trouble(
            task="bowl", contender="SGD", lr=lr, seed=seed, kind=kind, error=error
        )

    every = [trouble(lr, seed) for seed in (1, 0) for lr in (0.1, 0.01)]
    lone = trouble(1.0, 1)
    diverged = trouble(0.1, 0, "diverged", None)
    analysis = replace(full[0], troubles=(diverged, lone, *every))
    rows = [[cell.text for cell in row] for row in tables.troubles(analysis).rows]
    assert [(row[0], row[3], row[4]) for row in rows] == [
        ("failed", "0.01, 0.1", "0, 1"),
        ("failed", "1", "1"),
        ("diverged", "0.1", "0"),
    ]


def test_small_models_have_no_cost_per_million_parameters():
    analysis, _ = comparison(SyntheticPlan())
    for parameters, scaled in ((99_999, None), (200_000, 200.0)):
        task = replace(analysis.tasks[0], parameters=parameters)
        # 4e-5 seconds a step; the median of equal quotients is off by an ulp at most.
        given = tables.cost_per_million(task, 40.0)
        assert given == (scaled and pytest.approx(scaled, rel=1e-14))
