"""What endpoints stand on: routing, the caller of a request, pages, parameters, problem documents, middleware.

Endpoints and `app` import it; services, repositories, the catalog and identity never do.
"""
