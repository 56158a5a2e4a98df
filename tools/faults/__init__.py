"""The recipe killed and hindered at random moments, continued, and compared with an undisturbed run."""
