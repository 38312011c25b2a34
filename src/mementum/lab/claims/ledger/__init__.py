"""The ledger of claims: its words, pictures, page and files."""

__all__ = ["figures", "files", "json_form", "markdown", "methods", "page", "words"]
