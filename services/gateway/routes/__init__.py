"""Which RPC a request means, and the message it becomes: read from the google.api.http annotations."""
