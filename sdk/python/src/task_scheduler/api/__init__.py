"""What the API has: its operations, what they take, and what they answer."""
