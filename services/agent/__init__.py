"""The agent room: definitions of agents and their drafts. It knows no version but by its number, and no run."""
