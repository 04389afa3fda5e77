"""Credentials as pure functions: API keys and run tokens. The api issues them; api, gateway and runtime check them."""
