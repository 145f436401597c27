"""The gateway: REST in front of gRPC, built from the protos and nothing else."""
