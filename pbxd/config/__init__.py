"""The configuration file: what may be said in it, where each value came from, and every mistake at once.

values   addresses, port ranges, number ranges: the scalars of the file
section  what groups of settings are made of: scalars with their rules
schema   every setting with its default and its meaning (frozen pydantic models); security: those of the door
tree     YAML text -> plain values and the line of each
load     defaults < file < --set, checked as one -> Config
explain  what pydantic found, in words for people
check    what no single setting can know: names that must exist, numbers that must not clash, ports in use
accounts what an account has, at the top level and under `accounts`; numbers, groups: parts of it; relations: what its
         sections say of each other
listing  the configuration as a list: to show, to compare, and to know what needs a restart
"""

from pbxd.config.check import check_ports
from pbxd.config.listing import Setting, diff, needs_restart, settings
from pbxd.config.load import load
from pbxd.config.problem import ConfigError, Problem
from pbxd.config.schema import Config, Source, SourceKind

__all__ = [
    "Config",
    "ConfigError",
    "Problem",
    "Setting",
    "Source",
    "SourceKind",
    "check_ports",
    "diff",
    "load",
    "needs_restart",
    "settings",
]
