"""The ledger of claims: its words, tables, figures, page and files."""

__all__ = [
    "figures",
    "files",
    "json_form",
    "markdown",
    "methods",
    "page",
    "tables",
    "words",
]
