"""The rooms of the suite, and `python -m services`, which runs them all on one machine."""
