"""The command line, one module per command or group of commands. Entry point: `main.cli`.

A command prints what it did and what to do next. Nothing outside this room prints.
"""
