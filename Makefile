.DEFAULT_GOAL := help
.PHONY: help check test demo pins

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1	\2/p' Makefile

check: ## format, lint, layers, types, unit tests and the memory store: before each commit
	@scripts/test --fast

test: ## every check and every test
	@scripts/test

demo: ## see Tidewheel work: a worker is killed, no job is lost
	@scripts/demo

pins: ## write requirements/*.txt again, with the newest versions that pyproject.toml allows
	@scripts/pins
