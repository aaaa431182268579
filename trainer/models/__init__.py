"""Networks: tensors in, logits out; each file is readable in one go."""

__all__: list[str] = []
