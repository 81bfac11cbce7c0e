"""Speed of training, inference, data and search beside a plain reference."""
