"""Runs the migrations of the version room."""

from retinue_core.db.environment import run

run()
