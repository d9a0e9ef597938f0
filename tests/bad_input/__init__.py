"""Bad input by the hundred, each tried through the command line: see :mod:`bad_input.case`."""
