"""Owns the way from a template and a customer's values to the bytes of one mail; refuses to know store or network.

    source    what is on disk, frozen by content
    mail      compile once, render per customer
    message   a rendered mail and its envelope become bytes

Everything else here is a room behind those three: flatten, tree, macros, hold, inline, links, facts, sandbox, text,
lint.
"""
