"""The access room: organisations, users, tokens, and the identities that the other rooms trust."""
