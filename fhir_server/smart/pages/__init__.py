"""Pages on which people log in, choose a patient, decide what an app may do, and take it back."""
