"""The HTTP side: contracts are declared (contract), served (surface), described (openapi) and listened for (server)."""
