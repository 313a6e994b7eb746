"""Photo collections sorted by person: runs, lasting corrections, contact sheet."""
