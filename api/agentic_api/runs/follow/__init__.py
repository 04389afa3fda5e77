"""Following runs while they are in progress: those of this process (`live`) and those of others (`remote`)."""
