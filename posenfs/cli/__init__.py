"""The commands of `posenfs`, by subject. Each command imports what it needs when called."""
