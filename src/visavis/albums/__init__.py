"""A photo collection sorted by person: runs, corrections that stay, contact sheet."""
