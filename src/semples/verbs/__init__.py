"""What each verb of the command line does, as Python functions and objects (the public names of ``semples``)."""
