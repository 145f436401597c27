"""What docs/benchmarks.md reports: every figure of the goals, and the floors of the same machine in the same run.

One module for each figure, with `measure(stage) -> Section`. What makes load is in processes of its own: `load`,
`worker`, `watchers` and `slow` are their entry points.
"""
