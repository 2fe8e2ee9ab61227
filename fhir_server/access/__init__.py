"""Who may see and do what: pure rules about callers, scopes and roles."""
