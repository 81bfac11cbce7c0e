"""posenfs: a workbench for neural architecture search on human pose (Pose Neural Fabrics Search, arXiv 1909.07068).

The names a notebook needs, loaded when first used: `import posenfs` itself imports no torch.
"""

from importlib import import_module

_WHERE = {
    "Architecture": "posenfs.model.architecture",
    "Augmentation": "posenfs.data.augment",
    "BACKBONES": "posenfs.model.backbones",
    "COCO": "posenfs.body.skeleton",
    "Crops": "posenfs.data.loader",
    "DATASETS": "posenfs.data.datasets.catalogue",
    "DECODINGS": "posenfs.data.heatmaps",
    "DataSpec": "posenfs.data.datasets.catalogue",
    "ExpectedCost": "posenfs.model.expected_cost",
    "Experiment": "posenfs.search.experiment",
    "FABRIC_1": "posenfs.model.backbones.fabric",
    "FabricSpec": "posenfs.model.space",
    "Genotype": "posenfs.model.architecture",
    "LSP": "posenfs.body.skeleton",
    "MPII": "posenfs.body.skeleton",
    "OPERATIONS": "posenfs.model.operations",
    "Part": "posenfs.body.parts",
    "PoseNFS": "posenfs.model.network",
    "Rules": "posenfs.model.space",
    "Run": "posenfs.search.run",
    "RunConfig": "posenfs.search.experiment",
    "STRATEGIES": "posenfs.search.strategies",
    "Search": "posenfs.search.engine",
    "Skeleton": "posenfs.body.skeleton",
    "alpha_curves": "posenfs.show.curves",
    "at_keypoints": "posenfs.evaluation.predict",
    "beta_curves": "posenfs.show.curves",
    "build": "posenfs.search.experiment",
    "check_data": "posenfs.data.check",
    "collate": "posenfs.data.loader",
    "cost_treemap": "posenfs.show.costs",
    "crop_people": "posenfs.data.loader",
    "crop_to_heatmap": "posenfs.data.geometry",
    "data_root": "posenfs.data.datasets.catalogue",
    "distance_maps": "posenfs.show.architectures",
    "draw_body": "posenfs.show.body_graph",
    "draw_cell": "posenfs.show.cell_graph",
    "draw_difference": "posenfs.show.difference_graph",
    "draw_differences": "posenfs.show.difference_graph",
    "draw_fabric": "posenfs.show.graphs",
    "draw_fabrics": "posenfs.show.graphs",
    "draw_map_change": "posenfs.show.poses",
    "draw_network": "posenfs.show.network_graph",
    "draw_part_schemes": "posenfs.show.part_graph",
    "draw_people": "posenfs.show.poses",
    "draw_person_maps": "posenfs.show.poses",
    "draw_pruned": "posenfs.show.graphs",
    "draw_score_map": "posenfs.show.poses",
    "draw_score_maps": "posenfs.show.poses",
    "draw_skeleton": "posenfs.show.part_graph",
    "draw_skeletons": "posenfs.show.poses",
    "draw_vectors": "posenfs.show.poses",
    "encode": "posenfs.data.heatmaps",
    "expected_cost_curve": "posenfs.show.costs",
    "expected_multiply_adds": "posenfs.model.expected_cost",
    "find_run": "posenfs.search.run",
    "gather_parts": "posenfs.model.vectors",
    "genotype_table": "posenfs.show.architectures",
    "heatmap_to_crop": "posenfs.data.geometry",
    "honest_cost": "posenfs.model.cost",
    "largest_batch": "posenfs.model.memory",
    "length_for_score": "posenfs.model.vectors",
    "list_runs": "posenfs.search.run",
    "load_model": "posenfs.search.saved",
    "load_released": "posenfs.model.released",
    "loss_curve": "posenfs.show.curves",
    "measure_latency": "posenfs.model.latency",
    "metric_title": "posenfs.evaluation.metrics",
    "mix_operations": "posenfs.model.fabric",
    "module_costs": "posenfs.model.cost",
    "normalise": "posenfs.data.sample",
    "open_data": "posenfs.data.datasets.catalogue",
    "parent_and_child": "posenfs.study.children",
    "part_scheme": "posenfs.body.parts",
    "predict": "posenfs.evaluation.predict",
    "prove": "posenfs.model.prune",
    "prune": "posenfs.model.prune",
    "pruning_table": "posenfs.study.pruning",
    "quarter_offset": "posenfs.data.heatmaps",
    "save_model": "posenfs.search.saved",
    "score_curve": "posenfs.show.curves",
    "squash": "posenfs.model.vectors",
    "squash_curves": "posenfs.show.vectors",
    "squash_length": "posenfs.model.vectors",
    "training_memory": "posenfs.model.memory",
    "visibility_boxes": "posenfs.show.vectors",
    "visibility_means": "posenfs.show.vectors",
    "write_report": "posenfs.show.report",
}
__all__ = sorted(_WHERE)


def __getattr__(name: str):
    if name not in _WHERE:
        raise AttributeError(f"posenfs has no {name!r}; it has {', '.join(__all__)}")
    value = getattr(import_module(_WHERE[name]), name)
    globals()[name] = value
    return value


def __dir__():
    return __all__
