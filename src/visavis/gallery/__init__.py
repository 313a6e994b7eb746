"""Stores and searches templates of enrolled people. The interface is in ``gallery.store``."""
