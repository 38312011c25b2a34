"""What people read of a comparison: an answer in the terminal, a page in a browser."""

__all__ = [
    "export",
    "figures",
    "finding",
    "ledger_rows",
    "methods",
    "number_words",
    "page",
    "sentences",
    "stage_words",
    "tables",
    "templating",
    "terminal",
]
