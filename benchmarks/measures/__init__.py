"""What is measured, one class for each kind of scenario."""
