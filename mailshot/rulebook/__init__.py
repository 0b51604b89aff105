"""Reads everything under rules/ and checks it as a whole. Pure: it reads files, never rows.

Start at `rulebook.Rulebook.load`. `campaign` is the schema of a campaign file, `resolve` replaces its names by what
they refer to, `versions` reads rules from a folder or a git revision.
"""
