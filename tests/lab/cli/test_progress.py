"""Laws of the console: what it prints can be read, piped and compared."""

import pytest
from rich.table import Table
from rich.text import Text

from mementum.cli import main
from mementum.lab.cli.progress import PatientConsole


def rows() -> Table:
    table = Table("name", "what it is", box=None)
    table.add_row("short", "")
    table.add_row(Text("red", style="red"), "a text of several words")
    return table


@pytest.mark.parametrize("command", ["tasks", "contenders"])
def test_no_line_of_a_command_ends_in_a_blank(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line != line.rstrip()] == []
    assert max(map(len, lines)) <= 80


def test_a_table_loses_the_blanks_at_its_ends_and_no_others(
    capsys: pytest.CaptureFixture[str],
) -> None:
    PatientConsole(highlight=False).print(rows(), "end")
    assert capsys.readouterr().out == (
        " name   what it is\n short\n red    a text of several words\nend\n"
    )


@pytest.mark.parametrize("text", ["", "a", "a  b", "\n\na\n", "two\nlines"])
def test_what_ends_in_no_blank_is_printed_as_it_is(
    text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    PatientConsole(highlight=False).print(text, markup=False)
    assert capsys.readouterr().out == f"{text}\n"
