"""The commands of `posenfs`, one module per subject. Each command imports what it needs when called."""
