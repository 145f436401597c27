"""gRPC as this suite uses it: one server, one client, one map of errors."""
