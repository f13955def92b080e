from __future__ import annotations

import pytest
import torch

from resources.device import DeviceError, choose_device, matmul_rate, with_smaller_batches


def test_names():
    assert choose_device("cpu").type == "cpu"
    assert choose_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    for wrong in ("gpu", "cpu:0", "cuda:x", ""):
        with pytest.raises(DeviceError, match="use auto, cpu, cuda or cuda:N"):
            choose_device(wrong)


def test_a_missing_card_is_said(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(DeviceError, match="sees no CUDA card"):
        choose_device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert choose_device("cuda:1") == torch.device("cuda:1")
    with pytest.raises(DeviceError, match="there are 2 CUDA cards"):
        choose_device("cuda:2")


def test_batches_are_halved_and_it_is_said():
    said, tried = [], []

    def work(rows):
        tried.append(rows)
        if rows > 10:
            message = "CUDA out of memory"
            raise torch.cuda.OutOfMemoryError(message)
        return rows

    assert with_smaller_batches(work, 64, lambda a, b: said.append((a, b))) == 8
    assert tried == [64, 32, 16, 8]
    assert said == [(64, 32), (32, 16), (16, 8)]


def test_one_row_that_does_not_fit_and_other_errors_are_raised():
    def never(rows):
        message = "CUDA out of memory"
        raise torch.cuda.OutOfMemoryError(message)

    with pytest.raises(DeviceError, match=r"limits\.device to cpu"):
        with_smaller_batches(never, 4)
    with pytest.raises(ZeroDivisionError):
        with_smaller_batches(lambda rows: rows // 0, 4)


def test_the_yardstick_is_positive():
    assert matmul_rate(torch.device("cpu"), 64, 0.01) > 0
