"""What `posenfs` can be told: a file for each subject. Each command imports what it needs when it is called."""
