"""The Starlette application: routes, middleware, error answers and typed state."""

from starlette.applications import Starlette
from starlette.routing import Route, WebSocketRoute

from gateway.connection.context import Context
from gateway.connection.route import join_session, no_websocket, upgrade_required
from gateway.rest.failures import handlers
from gateway.rest.middleware import middleware
from gateway.rest.routes import routes
from gateway.rest.services import Services


def create_app(services: Services, context: Context) -> Starlette:
    """The application of one gateway; `state.services` and `state.context` hold what its handlers use."""
    app = Starlette(
        routes=[
            WebSocketRoute("/ws/{session_id}", join_session),
            Route("/ws/{session_id}", upgrade_required),
            *routes(services.settings.path_prefix),
            WebSocketRoute("/{path:path}", no_websocket),
        ],
        middleware=middleware(services.settings),
        exception_handlers=handlers(),
    )
    # A path with an extra slash gets 404: a redirect would lead to the Host that the client sent.
    app.router.redirect_slashes = False
    app.state.services = services
    app.state.context = context
    return app
