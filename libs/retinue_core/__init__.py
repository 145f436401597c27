"""What two or more services share: errors, configuration, identity, rpc, database, events, telemetry."""
