"""What docs/benchmarks.md reports: react3 through REST, and the floors of the same machine in the same run."""
