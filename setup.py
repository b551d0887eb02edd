"""Builds media/wire, the packet mover in C, and media/modem, the C around libspandsp. All else is in pyproject.toml."""

from setuptools import setup

setup(cffi_modules=["media/wire/build.py:builder", "media/modem/build.py:builder"])
