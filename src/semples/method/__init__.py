"""The method as pure functions of tensors: the formulas of ``docs/method.md``, and nothing of runs or files."""
