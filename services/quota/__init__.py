"""The quota room: limits, reservations, and the ledger of what was spent. It knows no price and no run."""
