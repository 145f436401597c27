"""JSON and protobuf messages, each into the other, by the proto3 JSON mapping."""
