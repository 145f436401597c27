"""The worker: runs the agent loop, calls models and tools, and knows no database."""
