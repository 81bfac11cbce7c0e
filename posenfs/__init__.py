"""posenfs: a workbench for neural architecture search on human pose."""
