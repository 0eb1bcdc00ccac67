"""A first entry for those who have never seen smearsynth: plain PyTorch, h5py and Pillow, nothing of this project.

smearsynth export SET --without-labels test --out for-entrants
python recipes/starter.py SET for-entrants/test answers.npz [STEPS] [--smp]
segtrain score answers.npz SET --name starter --external-data none --pretraining none

--smp takes a U-Net of segmentation_models_pytorch in place of the small network below.
"""

import sys
from pathlib import Path

import h5py
import numpy as np
import torch
from PIL import Image
from torch import nn

words = [word for word in sys.argv[1:] if word != "--smp"]
folder, images, out, steps = Path(words[0]), Path(words[1]), words[2], int((words[3:] or [2000])[0])
torch.manual_seed(0)


def block(into: int, out_of: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(into, out_of, 3, padding=1), nn.GroupNorm(4, out_of), nn.ReLU())


def half_size(network: nn.Sequential) -> nn.Sequential:
    return nn.Sequential(nn.MaxPool2d(2), *network, nn.Upsample(scale_factor=2))


inner = nn.Sequential(block(24, 48), half_size(nn.Sequential(block(48, 96), block(96, 48))), block(48, 24))
network: nn.Module = nn.Sequential(block(3, 24), half_size(inner), block(24, 24), nn.Conv2d(24, 10, 1))
if "--smp" in sys.argv:
    import segmentation_models_pytorch as smp

    network = smp.Unet("resnet18", encoder_weights=None, classes=10)

shards = [h5py.File(path) for path in sorted(folder.glob("train-*.h5"))]
rows = [(shard, row) for shard in shards for row in range(len(shard["label"]))]
optimiser = torch.optim.AdamW(network.parameters(), lr=2e-3)


def pixels(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(image).permute(2, 0, 1).float() / 127.5 - 1


for step in range(steps):
    batch = [rows[i] for i in torch.randint(len(rows), (8,))]
    image = torch.stack([pixels(shard["image"][row]) for shard, row in batch])
    label = torch.stack([torch.from_numpy(shard["label"][row]).long() for shard, row in batch])
    loss = nn.functional.cross_entropy(network(image), label, ignore_index=255)
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    if step % 100 == 0:
        print(f"step {step}: loss {loss.item():.3f}", flush=True)

network.eval()
with torch.inference_mode():
    found = {
        path.stem: network(pixels(np.asarray(Image.open(path)))[None])[0].argmax(0) for path in images.glob("*.png")
    }
np.savez_compressed(out, **{name: label.byte().numpy() for name, label in found.items()})
