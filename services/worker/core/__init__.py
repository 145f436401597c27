"""The pure loop: from a specification and a journal to what has to be done next.

Owns every decision of an execution. It refuses input and output, the clock, chance and generated stubs: the same
functions run, resume and replay an execution.
"""
