"""A gallery on Milvus: a ``GalleryStore`` over pymilvus, its audit in a SQLite file beside it."""
