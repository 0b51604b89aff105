"""Pure knowledge about customers: facts, addresses, consent decisions and traits. No row is read or written."""
