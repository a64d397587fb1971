"""Small networks on few cores are fastest in one thread."""

import torch

torch.set_num_threads(1)
