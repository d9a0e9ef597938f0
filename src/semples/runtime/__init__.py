"""What stages work with: an open run, its models, and the tasks that several stages share."""
