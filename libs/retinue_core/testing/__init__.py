"""What tests stand on: real PostgreSQL and NATS for each test run, keys, and the suite as processes.

Owns the fixtures of `retinue_core.testing.plugin`, which `tests/conftest.py` loads. It refuses fakes of our own parts;
fakes of other people's servers are in `tests/fakes`.
"""
