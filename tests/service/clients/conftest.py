"""Workers run in environments of their own; nothing imports them here."""

collect_ignore_glob = ["*worker.py"]
