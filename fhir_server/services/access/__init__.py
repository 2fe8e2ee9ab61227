"""Who may see and write what: one policy object that every route asks."""
