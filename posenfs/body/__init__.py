"""Skeletons and body parts: the keypoints of a person, their limbs and their groups."""
