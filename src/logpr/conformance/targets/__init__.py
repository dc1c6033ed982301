"""What is checked: Python callables, factories, commands, endpoints."""
