"""What the networks are made of: the table's look-ups, the input row, layers side by side, and gates with dropout."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from trainer.models.parts import EmbeddingTable, InputRow, Parallel, gate_softmax
from trainer.models.shape import Shape


def test_a_look_up_puts_the_rows_of_all_fields_side_by_side() -> None:
    table = EmbeddingTable(6, 2)
    found = table(torch.tensor([[5, 0, 5], [1, 2, 3]]))
    assert torch.equal(found, table.weight[torch.tensor([[5, 0, 5], [1, 2, 3]])].reshape(2, 6))


def test_gradients_of_look_ups_are_those_of_a_plain_embedding() -> None:
    table, ids = EmbeddingTable(9, 3), torch.tensor([[0, 8], [8, 8], [4, 0]])
    factors = torch.arange(18.0).reshape(3, 6) - 7
    (table(ids) * factors).square().sum().backward()
    plain = nn.Embedding.from_pretrained(table.weight.detach().clone(), freeze=False)
    (plain(ids).flatten(1) * factors).square().sum().backward()
    [(seen, gradient)] = table.gradients
    assert table.weight.grad is None and plain.weight.grad is not None
    found = torch.zeros(9, 3).index_add_(0, seen.flatten(), gradient.reshape(-1, 3))
    torch.testing.assert_close(found, plain.weight.grad)


def test_looking_without_learning_leaves_no_gradients() -> None:
    table = EmbeddingTable(4, 2)
    with torch.no_grad():
        table(torch.tensor([[1]]))
    table(torch.tensor([[1]]))  # no backward
    assert table.gradients == []


def test_a_table_too_large_for_its_row_numbers_is_refused() -> None:
    with pytest.raises(ValueError, match=r"wanted fewer than 2\^31"):
        EmbeddingTable(2**31, 1)


@pytest.mark.parametrize(("looked", "dense", "width"), [(0, 0, 16), (10, 5, 16), (10, 6, 32), (320, 10, 336)])
def test_an_input_row_ends_with_a_one_and_zeros_up_to_a_multiple_of_16(looked: int, dense: int, width: int) -> None:
    row = InputRow(looked, dense)
    made = row(torch.full((2, looked), 3.0), torch.full((2, dense), 4.0))
    assert made.shape == (2, row.width) == (2, width)
    wanted = [3.0] * looked + [4.0] * dense + [1.0] + [0.0] * (width - looked - dense - 1)
    assert made.tolist() == [wanted] * 2
    assert row.state_dict() == {}


def test_layers_side_by_side_are_the_layers_one_by_one() -> None:
    torch.manual_seed(0)
    chain, x = Parallel(3, (5, 4, 2), dropout=0.0, last_relu=False), torch.randn(3, 7, 5)
    for group in range(3):
        hidden = functional.linear(x[group], chain.weights[0][group].T, chain.biases[0][group, 0]).relu()
        wanted = functional.linear(hidden, chain.weights[1][group].T, chain.biases[1][group, 0])
        torch.testing.assert_close(chain(x)[group], wanted)
    assert bool((Parallel(3, (5, 4, 2), dropout=0.0, last_relu=True)(x) >= 0).all())


def test_layers_begin_within_the_bounds_of_a_linear_layer() -> None:
    chain = Parallel(2, (100, 50, 20), dropout=0.0, last_relu=True)
    for weight, bias, inputs in zip(chain.weights, chain.biases, (100, 50), strict=True):
        bound = inputs**-0.5
        assert 0.9 * bound < weight.abs().max() <= bound and bias.abs().max() <= bound


def test_dropout_of_layers_is_for_training_only() -> None:
    chain, x = Parallel(1, (4, 300), dropout=0.5, last_relu=True), torch.ones(1, 1, 4)
    assert torch.equal(chain.eval()(x), chain.eval()(x))
    assert not torch.equal(chain.train()(x), chain.train()(x))


def test_gate_dropout_is_dropout_of_the_softmax_scaled_to_sum_to_one() -> None:
    logits = torch.randn(500, 3, 4, generator=torch.Generator().manual_seed(1))
    torch.manual_seed(5)
    found = gate_softmax(logits, dropout=0.4)
    torch.manual_seed(5)
    kept = torch.rand(500, 3, 4) >= 0.4
    assert bool((~kept.any(dim=2)).any()), "some rows lose all experts"
    left = logits.softmax(dim=2) * torch.where(kept.any(dim=2, keepdim=True), kept, True)
    torch.testing.assert_close(found, left / left.sum(dim=2, keepdim=True))
    assert torch.equal(found > 0, left > 0)


def test_experts_of_a_settled_gate_take_over_where_the_chosen_one_is_left_out() -> None:
    """Their softmax has rounded to 0, so that nothing could be scaled back to 1."""
    torch.manual_seed(0)
    found = gate_softmax(torch.tensor([200.0, 1.0, 1.0]).expand(300, 3), dropout=0.5)
    torch.testing.assert_close(found.sum(dim=1), torch.ones(300))
    assert torch.equal(found.unique(), torch.tensor([0.0, 0.5, 1.0]))


def test_a_gate_without_dropout_is_a_softmax() -> None:
    logits = torch.randn(6, 2, 3)
    torch.testing.assert_close(gate_softmax(logits, dropout=0.0), logits.softmax(dim=2))


def test_on_the_mean_dropout_favours_no_expert_of_an_even_gate() -> None:
    torch.manual_seed(0)
    means = gate_softmax(torch.zeros(20_000, 4), dropout=0.3).mean(dim=0)
    torch.testing.assert_close(means, torch.full((4,), 0.25), atol=0.006, rtol=0)


def test_a_gate_gives_nothing_to_what_it_cannot_see_even_if_all_else_is_left_out() -> None:
    torch.manual_seed(0)
    unseen = torch.tensor([True, False, False])
    for dropout in (0.0, 0.9):
        found = gate_softmax(torch.zeros(400, 3), dropout=dropout, unseen=unseen)
        assert bool((found[:, 0] == 0).all())
        torch.testing.assert_close(found.sum(dim=1), torch.ones(400))


def test_sides_that_do_not_fit_the_inputs_are_refused() -> None:
    with pytest.raises(ValueError, match="sides of 1 fields and 0 numbers, wanted 2 and 0"):
        Shape(5, 2, 0, ("user",), ())
    with pytest.raises(ValueError, match="'author'"):
        Shape(5, 1, 0, ("author",), ())  # type: ignore[arg-type]
    assert Shape(5, 3, 2, ("item", "user", "item"), ("item", "cross")).of_side("item") == ([0, 2], [0])
