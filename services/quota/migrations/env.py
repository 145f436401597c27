"""Runs the migrations of the quota room."""

from retinue_core.db.environment import run

run()
