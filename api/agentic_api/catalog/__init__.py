"""The api's view of the custom resources: stores that watches fill, read without a call to the API server."""
