"""What a stage works with: an open run, its models, and the jobs that several stages share."""
