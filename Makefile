# `make torture` takes a quarter of an hour: thousands of mails under kills, on both databases. It prints each seed.
PYTHON ?= python

.PHONY: torture
torture:
	$(PYTHON) -m pytest -m torture -s tests/crash
