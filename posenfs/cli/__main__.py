"""Run the command line: `python -m posenfs.cli`."""

from posenfs.cli.main import main

main()
