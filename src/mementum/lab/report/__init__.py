"""What people read of a comparison: a table in the terminal and a page in a browser."""

__all__ = [
    "export",
    "figures",
    "ledger_rows",
    "methods",
    "number_words",
    "page",
    "sentences",
    "terminal",
]
