"""The version room: what was published never changes, and which of it runs. It knows agents only by asking."""
