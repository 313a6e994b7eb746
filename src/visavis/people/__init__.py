"""Where photos meet a gallery: enrolment, identification, migration to another model."""
