"""Runs the migrations of the access room."""

from retinue_core.db.environment import run

run()
