"""What an agent is, what it may hold, how it changes and how agents are found: pure, sync, without a clock."""
