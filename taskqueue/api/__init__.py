"""The public REST API process."""
