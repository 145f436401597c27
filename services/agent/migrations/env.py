"""Runs the migrations of the agent room."""

from retinue_core.db.environment import run

run()
