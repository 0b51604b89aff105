"""The command line: one module per noun. Each says what it did and what to do next; nothing else prints."""
