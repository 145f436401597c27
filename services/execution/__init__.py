"""The execution room: executions, their journals, and the workers that hold them. It calls no model and no tool."""
