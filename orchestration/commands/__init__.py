"""One module a command: what it does, apart from reading its arguments."""
