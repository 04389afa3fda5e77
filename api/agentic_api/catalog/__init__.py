"""The api's view of the custom resources: a watch cache that answers without a call to the API server."""
