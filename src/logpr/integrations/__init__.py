"""logpr inside other people's programs: one foreign framework a room."""
