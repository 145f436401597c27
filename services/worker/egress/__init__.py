"""The egress guard: the only way by which tools reach the outside."""
