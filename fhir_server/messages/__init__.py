"""The words that are sent to people: templates in their languages, filled with facts, and calendar entries."""
