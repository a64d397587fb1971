import pytest
import torch

from spacy_gliner.transfer import reading, sent

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no accelerator")


@pytest.mark.parametrize("tensor", [torch.arange(3), torch.zeros(0), torch.ones(2, 3)[:, 1]])
def test_on_the_same_device_nothing_is_sent(tensor):
    assert sent(tensor, torch.device("cpu")) is tensor


def test_a_result_on_the_cpu_is_there():
    with reading(torch.ones(3)):
        pass


@pytest.mark.gpu
@needs_cuda
def test_nobody_waits_for_what_is_sent():
    device = torch.device("cuda")
    tensor = torch.arange(1000)
    torch.cuda.set_sync_debug_mode("error")
    try:
        there = sent(tensor, device)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert torch.equal(there.cpu(), tensor)


@pytest.mark.gpu
@needs_cuda
def test_a_result_is_read_before_what_was_asked_for_after_it():
    large = torch.ones(4096, 4096, device="cuda")
    result = large[:2] * 2
    ready = reading(result)
    for _ in range(200):
        large = large @ large
    behind = torch.cuda.Event()
    behind.record()
    with ready:
        assert bool((result.cpu() == 2).all())
        assert not behind.query()
