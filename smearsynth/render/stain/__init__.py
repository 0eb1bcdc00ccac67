"""Stain: cells of different laboratories as if one had stained and photographed them, then the stain of a smear.

What differs between laboratories is taken out once per bank (`matched`), by source and class, into pixels on one
ground; what differs between smears is drawn with the scene and costs one table per smear (`smear`). Romanowsky stains
have no fixed dye vectors, azure B, eosin and their compound blend with the fixation, the pH and the camera: so no basis
is assumed, and the optical densities themselves are matched (compare Reinhard 2001, Pitie 2007 on colour transfer).
"""
