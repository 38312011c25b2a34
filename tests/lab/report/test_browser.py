"""Laws of the page in a real browser: it draws, sorts, toggles and asks for nothing."""

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.lab.report.browser import Tab, browser, chromium
from tests.lab.synthetic import Noise, SyntheticPlan, SyntheticTask, record, run

from mementum.lab.claims.ledger import files
from mementum.lab.claims.plan import planned
from mementum.lab.claims.select import select
from mementum.lab.claims.settled import Tier
from mementum.lab.claims.verdict import judge
from mementum.lab.records.run import Curve, RunRecord, RunSpec
from mementum.lab.report import page
from mementum.lab.report.figures.figure_set import FigureSet
from mementum.lab.statistics import Analysis, Control, analyse

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(chromium() is None, reason="no Chromium to open the page with"),
]
WIDTHS = (390, 1440)
BETWEEN = (800, 1024, 1280)
PLAN = SyntheticPlan(
    tasks=(
        SyntheticTask(name="reddi-periodic", deterministic=True, scale="linear"),
        SyntheticTask(name="mlp-digits", target=1.1),
        SyntheticTask(name="lm-bytes", target=1.2),
    ),
    contenders=("SGD", "Adam", "AdamW", "AdaXW", "AdaXW-matched"),
)


@pytest.fixture(scope="module")
def comparison() -> tuple[Analysis, list[RunRecord]]:
    """A comparison with a full arm, a divergence and a failure."""
    trials = tuple(
        replace(spec, lr=spec.lr * 1.01, options={"weight_decay": spec.lr})
        for spec in PLAN.specs()
    )
    plan = replace(PLAN, trials=trials)
    noise = Noise(PLAN, effects={"SGD": 0.6, "AdaXW": -0.3}, spread=0.003)

    def score(spec: RunSpec) -> float | None:
        if (spec.contender, spec.lr) == ("SGD", PLAN.lrs("SGD")[-1]):
            return math.inf
        if (spec.contender, spec.seed, spec.task) == ("Adam", 3, "lm-bytes"):
            return None
        near = min(PLAN.lrs(spec.contender), key=lambda lr: abs(lr - spec.lr))
        return noise(replace(spec, lr=near))

    records = [record(spec, score(spec)) for spec in plan.specs()]
    return analyse(records, plan), records


@pytest.fixture(scope="module")
def report(
    comparison: tuple[Analysis, list[RunRecord]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    page.write(*comparison, path)
    return path


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Claims with tuned and untuned arms, on shares and losses, and one untestable."""
    claims = select("R2,X3,X4,M4")
    specs = planned(claims, Tier.SMOKE).runs
    records = [curved(record(spec, 0.1 + 0.01 * spec.seed)) for spec in specs]
    folder = tmp_path_factory.mktemp("ledger")
    files.write(judge(claims, Tier.SMOKE, records), Tier.SMOKE, records, folder)
    return folder / "ledger.html"


def curved(run: RunRecord) -> RunRecord:
    """The run with points of a learning curve before its last one."""
    steps = tuple(range(0, run.spec.steps + 1, run.spec.steps // 4))
    losses = tuple(0.5 ** (1 + place) for place in range(5))
    return replace(run, curve=Curve(steps=steps, train=losses, validation=losses))


@pytest.fixture(params=["report", "ledger"])
def either(request: pytest.FixtureRequest) -> Path:
    """Each of the two pages."""
    return Path(request.getfixturevalue(request.param))


@pytest.fixture
def opened(tab: Tab, either: Path) -> Tab:
    """Each page in turn."""
    return desk(tab, either)


def desk(tab: Tab, path: Path) -> Tab:
    """The tab with this page in it, as it looks on a desk."""
    if tab.run("location.href") != path.as_uri():
        tab.open(path, 1440)
    return tab


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    with browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture
def drawn(tab: Tab, report: Path) -> Tab:
    """The page of the comparison."""
    return desk(tab, report)


def test_every_figure_stands_without_any_script(tab: Tab, either: Path) -> None:
    tab.send("Emulation.setScriptExecutionDisabled", value=True)
    try:
        tab.open(either, 1440)
        empty = tab.run(
            "[...document.querySelectorAll('figure svg')].filter(each =>"
            " each.querySelectorAll('[data-contender] path').length === 0).length"
        )
        count = "document.querySelectorAll('figure svg').length"
        assert tab.run(count) > 3
        assert empty == 0
        for width in WIDTHS:
            tab.open(either, width)
            rows = tab.run(
                "[...document.querySelectorAll('#arm-lr td')].filter(cell =>"
                " cell.checkVisibility()).length"
            )
            assert rows > 0 or "ledger" in either.name
    finally:
        tab.send("Emulation.setScriptExecutionDisabled", value=False)
        tab.open(either, 1440)


def test_the_page_of_a_comparison_has_all_its_figures(
    drawn: Tab, comparison: tuple[Analysis, list[RunRecord]]
) -> None:
    shown = "[...document.querySelectorAll('figure svg')].map(each => each.id)"
    names = {figure.name for figure in FigureSet.of(*comparison).all()}
    assert set(drawn.run(shown)) == names


def test_nothing_is_asked_of_a_network_and_nothing_complains(
    opened: Tab, either: Path
) -> None:
    loaded = opened.requests()
    assert either.as_uri() in loaded
    assert all(address.startswith(("file:", "data:", "blob:")) for address in loaded)
    assert opened.complaints() == []


def column(tab: Tab, table: str, place: int) -> list[str]:
    rows = f"[...document.querySelector({table!r}).tBodies[0].rows]"
    found = tab.run(
        f"{rows}.map(row => row.cells[{place}].dataset.value ??"
        f" row.cells[{place}].textContent.trim())"
    )
    assert isinstance(found, list)
    return found


def test_a_table_sorts_by_keyboard_both_ways_and_says_so(drawn: Tab) -> None:
    table, place = "#arm-lr table", 2
    drawn.open(Path(drawn.run("location.pathname")), 1440)
    before = column(drawn, table, place)
    header = f"document.querySelector('{table}').tHead.rows[0].cells[{place}]"
    for direction, reverse in (("ascending", False), ("descending", True)):
        drawn.run(f"{header}.querySelector('button').focus()")
        drawn.press("Enter", 13)
        assert drawn.run(f"{header}.getAttribute('aria-sort')") == direction
        values = [float(value) for value in column(drawn, table, place) if value]
        assert values == sorted(values, reverse=reverse)
        assert sorted(column(drawn, table, place)) == sorted(before)
    assert len(values) == len(before)


def test_what_is_missing_sorts_last_in_both_directions(drawn: Tab) -> None:
    drawn.run("document.querySelector('#task-1').open = true")
    table = "#task-1 table"
    header = f"document.querySelector('{table}').tHead.rows[0].cells"
    place = drawn.run(f"[...{header}].findIndex(c => c.textContent === 'p')")
    for _ in range(2):
        drawn.run(f"{header}[{place}].querySelector('button').click()")
        assert column(drawn, table, place)[-1] == ""


@pytest.mark.parametrize(("page", "name"), [("report", "AdaXW"), ("ledger", "AdamW")])
def test_a_contender_is_hidden_and_shown_in_every_figure_at_once(
    tab: Tab, request: pytest.FixtureRequest, page: str, name: str
) -> None:
    desk(tab, request.getfixturevalue(page))
    tab.run("document.querySelectorAll('details').forEach(e => { e.open = true })")
    shown = (
        f"[...document.querySelectorAll('figure [data-contender=\"{name}\"]')]"
        ".filter(group => getComputedStyle(group).display !== 'none').length"
    )
    button = f".legend button[data-hides={name}]"
    before = tab.run(shown)
    assert before > 2
    tab.run(f"document.querySelector('{button}').focus()")
    tab.press("Enter", 13)
    assert tab.run(shown) == 0
    states = f"[...document.querySelectorAll('{button}')].map(b => b.ariaPressed)"
    assert set(tab.run(states)) == {"false"}
    tab.press("Enter", 13)
    assert tab.run(shown) == before
    tab.open(request.getfixturevalue(page), 1440)


def test_the_filter_leaves_tasks_of_that_name(drawn: Tab) -> None:
    for typed, left in (("DIGITS", 1), ("", 3), ("none", 0), ("", 3)):
        drawn.run(
            f"(field => {{ field.value = {typed!r};"
            " field.dispatchEvent(new Event('input')) })"
            "(document.getElementById('filter'))"
        )
        for place in ("#arm-lr tbody tr", "details.task", "nav li li"):
            visible = (
                f"[...document.querySelectorAll('{place}')]"
                ".filter(each => each.checkVisibility()).length"
            )
            assert drawn.run(visible) == left


def test_a_cell_says_the_rest_by_keyboard_and_escape_takes_it_away(drawn: Tab) -> None:
    cell = "document.querySelector('#arm-lr td .cell')"
    card = f"{cell}.nextElementSibling"
    assert not drawn.run(f"{card}.checkVisibility()")
    drawn.run(f"{cell}.focus()")
    assert drawn.run(f"{card}.checkVisibility()")
    assert "reddi-periodic" in drawn.run(f"{card}.innerText")
    drawn.press("Escape", 27)
    assert not drawn.run(f"{card}.checkVisibility()")
    assert drawn.run(f"document.activeElement === {cell}")
    drawn.run(f"{cell}.blur(); {cell}.focus()")
    assert drawn.run(f"{card}.checkVisibility()")


def test_a_link_unfolds_what_it_leads_to(drawn: Tab) -> None:
    link = "document.querySelector('nav a[href=\"#task-2\"]')"
    drawn.run("document.querySelector('#task-2').open = false")
    for _ in range(2):
        drawn.run(f"{link}.click()")
        drawn.wait("document.querySelector('#task-2').open")
        drawn.run("document.querySelector('#task-2').open = false")
    drawn.run("document.getElementById('filter').value = 'digits'")
    drawn.run("document.getElementById('filter').dispatchEvent(new Event('input'))")
    drawn.run(f"{link}.click()")
    drawn.wait("document.querySelector('#task-2').checkVisibility()")
    assert drawn.run("document.getElementById('filter').value") == ""


def test_one_way_of_tuning_is_shown_at_a_time(drawn: Tab) -> None:
    visible = (
        "[...document.querySelectorAll('.arm')].filter(t => t.checkVisibility())"
        ".map(t => t.id)"
    )
    assert drawn.run(visible) == ["arm-lr"]
    for name in ("default", "full", "lr"):
        drawn.run(f"document.querySelector('[data-arm={name}]').click()")
        assert drawn.run(visible) == [f"arm-{name}"]
        pressed = "document.querySelector('.choices [aria-pressed=true]').dataset.arm"
        assert drawn.run(pressed) == name


def test_everything_has_a_name_for_a_screen_reader(opened: Tab) -> None:
    tree = opened.send("Accessibility.getFullAXTree")["nodes"]
    named = ("button", "link", "image", "img", "region", "heading")
    nameless = [
        node["role"]["value"]
        for node in tree
        if not node["ignored"]
        and node["role"]["value"] in named
        and not node.get("name", {}).get("value", "").strip()
    ]
    assert nameless == []
    roles = [node["role"]["value"] for node in tree]
    headings = "[...document.querySelectorAll('h1, h2, h3')]"
    assert roles.count("heading") == opened.run(f"{headings}.length") > 8
    assert opened.run("document.documentElement.lang") == "en"


def test_tab_reaches_every_control_and_shows_where_it_is(opened: Tab) -> None:
    opened.run("document.querySelectorAll('details').forEach(e => { e.open = true })")
    opened.run("document.querySelector('nav a').focus()")
    seen = set()
    for _ in range(20):
        opened.press("Tab", 9)
        seen.add(opened.run("document.activeElement.tagName"))
        outline = "getComputedStyle(document.activeElement).outlineStyle"
        assert opened.run(outline) == "solid"
    assert {"A", "BUTTON"} <= seen


@pytest.mark.parametrize("unfolded", [False, True])
@pytest.mark.parametrize("width", WIDTHS)
def test_the_page_is_no_wider_than_its_window(
    tab: Tab, either: Path, width: int, *, unfolded: bool
) -> None:
    tab.open(either, width)
    if unfolded:
        tab.run("document.querySelectorAll('details').forEach(e => { e.open = true })")
    else:
        assert tab.run("document.documentElement.scrollHeight") <= 8000
    assert tab.run("document.documentElement.scrollWidth") <= width
    wide = tab.run(
        "[...document.querySelectorAll('figure svg')]"
        ".filter(svg => svg.getBoundingClientRect().right > innerWidth).length"
    )
    assert wide == 0
    small = tab.run(
        "[...document.querySelectorAll('p, td, th, button, a')]"
        ".filter(e => e.checkVisibility() && e.textContent.trim()"
        " && parseFloat(getComputedStyle(e).fontSize) < 12).length"
    )
    assert small == 0


@pytest.mark.parametrize("width", WIDTHS)
def test_the_first_screen_holds_the_finding_and_the_matrix(
    tab: Tab, report: Path, width: int
) -> None:
    tab.open(report, width)
    for what in ("h1", "#arm-lr .matrix"):
        box = f"document.querySelector('{what}').getBoundingClientRect()"
        assert 0 <= tab.run(f"{box}.top") < tab.run(f"{box}.bottom") <= 844


@pytest.mark.parametrize("width", [*BETWEEN, 1440])
def test_no_cell_of_the_matrix_runs_into_the_next(
    tab: Tab, tmp_path: Path, width: int
) -> None:
    plan = replace(PLAN, contenders=(*PLAN.contenders, *(f"C{i}" for i in range(20))))
    records = [record(spec, 0.1 + 0.01 * spec.seed) for spec in plan.specs()]
    page.write(analyse(records, plan), records, tmp_path / "report.html")
    tab.open(tmp_path / "report.html", width)
    assert tab.run("document.documentElement.scrollWidth") <= width
    assert (
        tab.run(
            "[...document.querySelectorAll('.matrix .cell')]"
            ".filter(cell => cell.scrollWidth > cell.clientWidth).length"
        )
        == 0
    )


def test_a_phone_shows_one_contender_at_a_time(tab: Tab, report: Path) -> None:
    tab.open(report, 390)
    rivals = [name for name in PLAN.contenders if name != "AdamW"]
    for place, name in enumerate(rivals):
        tab.run(f"document.getElementById('pick-{place}').click()")
        cells = tab.run(
            "[...document.querySelectorAll('#arm-lr td')]"
            ".filter(cell => cell.checkVisibility())"
            ".map(cell => cell.querySelector('.card p').textContent)"
        )
        assert [text.split(" on ")[0] for text in cells] == [name] * len(PLAN.tasks)


@pytest.mark.parametrize("script", [True, False])
def test_on_paper_nothing_is_cut_off_or_folded(
    tab: Tab, either: Path, *, script: bool
) -> None:
    tab.send("Emulation.setScriptExecutionDisabled", value=not script)
    try:
        # The width of A4 on its side, less its margins.
        tab.open(either, 1031)
        tab.send("Emulation.setEmulatedMedia", media="print")
        folded = tab.run(
            "[...document.querySelectorAll('main details')].filter(each =>"
            " getComputedStyle(each, '::details-content').contentVisibility"
            " !== 'visible').length"
        )
        assert folded == 0
        cut = tab.run(
            "[...document.querySelectorAll('table, figure svg')]"
            ".filter(each => each.getBoundingClientRect().right > 1032)"
            ".map(each => each.closest('[aria-label]')?.ariaLabel)"
        )
        assert cut == []
    finally:
        tab.send("Emulation.setEmulatedMedia", media="")
        tab.send("Emulation.setScriptExecutionDisabled", value=False)
        tab.open(either, 1440)


AXE = Path(__file__).parents[3] / ".venv/npm/node_modules/axe-core/axe.min.js"


@pytest.mark.skipif(not AXE.exists(), reason="npm was not here to install axe-core")
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_axe_finds_no_violation(
    tab: Tab, either: Path, width: int, scheme: str
) -> None:
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    tab.send("Emulation.setEmulatedMedia", features=features)
    try:
        tab.open(either, width)
        tab.run("document.querySelectorAll('details').forEach(e => { e.open = true })")
        tab.run(AXE.read_text(encoding="utf-8") + ";0")
        found = tab.run(
            "axe.run().then(found => found.violations.map(each =>"
            " each.id + ': ' + each.nodes.slice(0, 3).map(node => node.html"
            " + ' ' + node.failureSummary).join('; ')))"
        )
        assert found == []
    finally:
        tab.send("Emulation.setEmulatedMedia", features=[])


def test_failed_controls_are_the_first_thing_to_see(
    tab: Tab, comparison: tuple[Analysis, list[RunRecord]], tmp_path: Path
) -> None:
    analysis, records = comparison
    bad = Control(name="Adam is torch's", passed=False, words="off by 1e-3")
    page.write(replace(analysis, checks=(bad,)), records, tmp_path / "report.html")
    tab.open(tmp_path / "report.html", 390)
    first = tab.run("document.querySelector('header').firstElementChild.innerText")
    assert first.startswith("A control fails: do not trust what follows.")
    assert "Adam is torch's" in first


def test_a_page_of_nothing_opens_too(tab: Tab, tmp_path: Path) -> None:
    plan = SyntheticPlan()
    page.write(analyse([], plan), [], tmp_path / "report.html")
    tab.open(tmp_path / "report.html", 390)
    assert "Methods" in tab.run("document.body.innerText")
    claims = select("R1,X5")
    files.write(judge(claims, Tier.SMOKE, []), Tier.SMOKE, [], tmp_path)
    tab.open(tmp_path / "ledger.html", 390)
    told = tab.run("document.querySelector('#claim-R1 summary').innerText")
    assert "not run" in told
    page.write(analyse(run(plan, lambda _: 1.0), plan), [], tmp_path / "report.html")
    tab.open(tmp_path / "report.html", 390)
