"""Light, optics and camera in whole-plane numpy integers, without any code of the render but its constants."""

import numpy as np


def naive_develop(words, glass, profile, axis, transmittance):
    """u2 (3, H, W) in 1/256 grey level; words: u8 (H, W), 21 bits of density to each channel."""
    height, width = words.shape
    x0, y0 = axis[0] * width // 65536, axis[1] * height // 65536
    y, x = np.mgrid[:height, :width]
    squared = (x - x0) ** 2 + (y - y0) ** 2
    corner = max(squared[0, 0], squared[0, -1], squared[-1, 0], squared[-1, -1], 1)
    share = profile[squared * (((len(profile) - 1) << 32) // corner) >> 32]
    planes = []
    for c in range(3):
        density = (words >> np.uint64(21 * c)).astype(np.int64) & (2**21 - 1)
        lit = (glass[c] * transmittance[density].astype(np.int64) + 32768) >> 16
        planes.append((lit * share + 32768) >> 16)
    return np.array(planes, np.uint16)


def naive_blur(planes, kernels):
    """u2 (3, H, W): correlation with kernels, (3, 2, K), rows first; the border is repeated."""
    reach = kernels.shape[2] // 2
    out = []
    for plane, (across, down) in zip(planes.astype(np.int64), kernels.astype(np.int64), strict=True):
        height, width = plane.shape
        padded = np.pad(plane, reach, mode="edge")
        rows = sum(w * padded[:, k : k + width] for k, w in enumerate(across)) + 32768 >> 16
        out.append(sum(w * rows[k : k + height] for k, w in enumerate(down)) + 32768 >> 16)
    return np.array(out, np.uint16)


def naive_expose(planes, tile, key, deviation, tone):
    """u1 (H, W, 3). tone: function of i8 light in 1/16 grey level, cut to 0-255."""
    planes = planes.astype(np.int64)
    _, height, width = planes.shape
    rows, columns = ((key >> 8) + np.arange(height)) % 256, (key + np.arange(width)) % 256
    rows = 255 - rows if key >> 17 & 1 else rows
    columns = 255 - columns if key >> 16 & 1 else columns
    noise = tile.astype(np.int64)[np.ix_(rows, columns)] * deviation[planes[1] >> 8] >> 8
    return np.stack([tone((plane + noise) >> 4) for plane in planes], axis=-1).astype(np.uint8)
