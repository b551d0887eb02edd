"""The tests of pbxd: they mirror the sources; stories use the whole house with real clients."""
