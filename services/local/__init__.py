"""The whole suite on one machine: servers, migrations, keys, every room as a process.

Owns starting, watching and stopping them. It refuses to know what a room does: a room is a command, its environment,
and a port that becomes healthy.
"""
