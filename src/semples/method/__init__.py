"""The method as pure functions of tensors: the formulas of ``docs/method.md``, without runs or files."""
