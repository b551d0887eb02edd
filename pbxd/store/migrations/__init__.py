"""One file a revision under versions/, numbered; none is ever changed once released."""
