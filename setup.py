"""Builds media/wire, the packet mover in C. Everything else about the package is in pyproject.toml."""

from setuptools import setup

setup(cffi_modules=["media/wire/build.py:builder"])
