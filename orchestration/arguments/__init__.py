"""What each command takes, by what it is about; the work is in `orchestration.commands`, imported when asked for."""
