"""Who is enrolled: templates of people, kept and searched. One seam: ``gallery.store``."""
