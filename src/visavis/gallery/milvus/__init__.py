"""A gallery on Milvus: a ``GalleryStore`` over pymilvus, with a local audit log in SQLite."""
