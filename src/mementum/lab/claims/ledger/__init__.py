"""The ledger of claims: its words, pictures, page and files."""
