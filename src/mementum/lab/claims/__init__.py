"""The claims of the papers, and what runs say about them."""

__all__ = [
    "claim",
    "claim_file",
    "ledger",
    "plan",
    "select",
    "setting",
    "values",
    "verdict",
]
