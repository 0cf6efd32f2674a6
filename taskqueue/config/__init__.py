"""Configuration: files and the environment become frozen values, once, at start or on reload."""
