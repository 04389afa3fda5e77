"""The page `/docs` and its assets; public, and nothing in it comes from another host."""

from importlib.resources import files

import fastapi_standalone_docs  # type: ignore[import-untyped]  # only its files are used
from fastapi import APIRouter
from starlette.responses import HTMLResponse, Response

from agentic_core.errors import NotFound

router = APIRouter(include_in_schema=False)

ASSETS = {"swagger-ui.css": "text/css", "swagger-ui-bundle.js": "text/javascript"}
FOLDER = files(fastapi_standalone_docs) / "static" / "swagger"
POLICY = "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; frame-ancestors 'none'"
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Agentic Platform API</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/docs/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
"""
START = (
    "SwaggerUIBundle({url: '/openapi.json', dom_id: '#swagger-ui', deepLinking: true, persistAuthorization: false});\n"
)


@router.get("/docs")
async def page() -> HTMLResponse:
    """The page."""
    return HTMLResponse(PAGE, headers={"Content-Security-Policy": POLICY, "X-Content-Type-Options": "nosniff"})


@router.get("/docs/start.js")
async def start() -> Response:
    """The script that starts it; a file of its own, so that the page needs no inline script."""
    return Response(START, media_type="text/javascript")


@router.get("/docs/{asset}")
async def asset(asset: str) -> Response:
    """A file of Swagger UI."""
    if asset not in ASSETS:
        raise NotFound(f"There is no file /docs/{asset[:64]}.")
    body = (FOLDER / asset).read_bytes()
    return Response(body, media_type=ASSETS[asset], headers={"Cache-Control": "public, max-age=86400"})
