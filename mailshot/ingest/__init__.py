"""Files in: a mapping says which column is which fact; rows are checked, loaded and counted, bad ones are told."""
