"""The API's description, OpenAPI 3.1, generated from the protos."""
