# pbxd: `make run` on a fresh Debian 12 sets everything up and starts the daemon; later runs start in seconds.
#
#   make run     set up, then run etc/pbxd.yaml in the foreground   (ARGS="--set http.listen=127.0.0.1:8090")
#   make lab     the same with etc/lab.yaml, loopback only          (LAB_FRESH=1 starts with an empty data directory)
#   make test    set up with the test tools, then every check and every test
#   make check   format, lint, types, architecture: the quick gate
#   make bench   set up with the test tools, then measure   (BENCH="calls --runs 1")
#   make format  put the sources into the house format
#   make clean   remove what was built; data under var/ stays
#
#   make install     as a systemd service, as root: code in /opt/pbxd, configuration in /etc/pbxd, data in /var/lib/pbxd
#   make upgrade     the same with these sources; a back-up before, and the way back if they do not start
#   make uninstall   configuration and data stay (PURGE=1: they go too). DESTDIR=ROOT works on a root folder instead
#   make clean-root-test   all of that in a clean Debian with its own systemd, as root; not part of test (WHAT=tests)
#
# Each step of the set-up leaves a stamp under .venv, so a step runs again only when what it depends on has changed, and a
# finished set-up needs no network. Debian packages are asked for only when one is missing. The daemon takes the place of
# the recipe's shell: a SIGTERM to make reaches it, and the lab ends even when make is killed.

SHELL := /bin/sh
PYTHON ?= /usr/bin/python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input --quiet
TEST_WORKERS ?= $(shell nproc 2>/dev/null | awk '{print ($$1 > 4) ? 5 : ($$1 < 2) ? 2 : $$1 + 1}')  # stories wait more than they work
TESTS ?= tests
ARGS ?=
BENCH ?=
WHAT ?= life
LAB_FRESH ?=

# What a build needs, and what the tests need in addition: compilers for the sanitizers and the fuzzer, real phones,
# a PostgreSQL server (the tests start their own), curl and Node for the fax contract's examples, and human voices
# (CC-BY-SA 3.0; the Russian ones CC-BY 3.0).
PACKAGES := espeak-ng fonts-dejavu-core gcc libc6-dev libopus-dev libspandsp-dev libsrtp2-dev python3-dev python3-venv
TEST_PACKAGES := $(PACKAGES) baresip-core clang curl libclang-rt-14-dev linphone-cli nodejs postgresql sip-tester tshark \
	asterisk-core-sounds-en-wav asterisk-core-sounds-fr-wav asterisk-core-sounds-it-wav asterisk-core-sounds-ru-wav

C_SOURCES := $(filter-out %/_wire.c %/_modem.c,$(wildcard $(foreach part,wire modem,media/$(part)/*.c media/$(part)/*.h media/$(part)/build.py)))
SOURCES := pbxd media dialplan tests

.PHONY: help run lab test check bench format clean setup setup-test install upgrade uninstall clean-root-test
.DEFAULT_GOAL := help

help:
	@sed -n 's/^#   //p' Makefile

run: setup
	@exec $(BIN)/pbxd run etc/pbxd.yaml $(ARGS)

lab: setup
	@if [ "$(LAB_FRESH)" = 1 ]; then rm -rf var/lab; fi
	@exec setpriv --pdeathsig TERM $(BIN)/pbxd run etc/lab.yaml $(ARGS)

test: check
	$(BIN)/pytest -n $(TEST_WORKERS) $(TESTS)

check: setup-test
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/mypy
	$(BIN)/pytest -q tests/test_architecture.py

bench: setup-test
	@$(BIN)/python -m tests.bench $(BENCH)

format: setup-test
	$(BIN)/ruff format $(SOURCES)
	$(BIN)/ruff check --fix $(SOURCES)

clean:
	rm -rf $(VENV) build *.egg-info media/*/*.so media/*/*.o media/wire/_wire.c media/modem/_modem.c

install upgrade:
	@$(if $(DESTDIR),true,$(call debian_packages,$(PACKAGES)))
	@DESTDIR="$(DESTDIR)" PYTHON="$(PYTHON)" sh systemd/install.sh $@

uninstall:
	@DESTDIR="$(DESTDIR)" sh systemd/install.sh $@

clean-root-test:
	@WHAT="$(WHAT)" TESTS="$(TESTS)" sh tests/box/clean_root.sh

setup: $(VENV)/installed
setup-test: $(VENV)/installed-test

# Installs the Debian packages $(1) that are missing, as root or through sudo; without either, says once what to type.
define debian_packages
missing=""; \
if command -v dpkg-query >/dev/null; then \
	for package in $(1); do \
		dpkg-query -W -f='$${db:Status-Status}\n' $$package 2>/dev/null | grep -qx installed || missing="$$missing $$package"; \
	done; \
fi; \
if [ -n "$$missing" ]; then \
	install="apt-get install -y --no-install-recommends$$missing"; \
	as=none; \
	if [ "$$(id -u)" = 0 ]; then as=""; \
	elif command -v sudo >/dev/null && { sudo -n true 2>/dev/null || [ -t 0 ]; }; then as="sudo"; fi; \
	if [ "$$as" = none ] || ! { $$as apt-get update -q && $$as env DEBIAN_FRONTEND=noninteractive $$install -q; }; then \
		echo "pbxd needs Debian packages that are not installed. Run this as root, then make again:" >&2; \
		echo "    apt-get update && $$install" >&2; \
		exit 1; \
	fi; \
fi
endef

$(VENV)/packages: Makefile
	@$(call debian_packages,$(PACKAGES))
	@mkdir -p $(VENV) && touch $@

$(VENV)/packages-test: Makefile
	@$(call debian_packages,$(TEST_PACKAGES))
	@mkdir -p $(VENV) && touch $@

# An environment that does not start (half made, or its interpreter is gone) is made anew.
$(VENV)/created: | $(VENV)/packages
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || \
		{ cd $(VENV) && rm -rf bin include lib lib64 pyvenv.cfg && cd .. && $(PYTHON) -m venv $(VENV); }
	@echo "Setting up the Python environment in $(VENV) ..."
	@$(PIP) install --upgrade pip "setuptools>=77.0.3" "cffi>=1.17"
	@touch $@

$(VENV)/installed: $(VENV)/created pyproject.toml $(wildcard setup.py) $(C_SOURCES)
	@echo "Installing pbxd and building media/wire and media/modem ..."
	@$(PIP) install --no-build-isolation --editable .
	@touch $@

# pesq comes as sources only, which ask for numpy and Cython before they are built.
$(VENV)/installed-test: $(VENV)/installed | $(VENV)/packages-test
	@echo "Installing the test tools ..."
	@$(PIP) install "numpy>=2" "Cython>=3"
	@$(PIP) install --no-build-isolation --editable ".[test]"
	@touch $@
