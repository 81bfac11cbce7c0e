"""The paper's network: search space, fabrics, vectors, backbones, cost and pruning."""
