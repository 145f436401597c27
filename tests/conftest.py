"""Loads the fixtures that all tests share."""

pytest_plugins = ["retinue_core.testing.plugin"]
