"""Pictures: graphs, curves, poses, reports."""
