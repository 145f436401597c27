"""Runs the migrations of this room."""

from retinue_core.db.environment import run

run()
