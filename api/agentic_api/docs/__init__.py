"""Swagger UI at `/docs`, with assets that the api serves itself: clusters without internet have it too."""
