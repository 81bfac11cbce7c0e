# The public names of posenfs. `posenfs/__init__.py` imports each at its first use; type checkers and
# IDEs read this file.

from .body.parts import (
    Part as Part,
)
from .body.parts import (
    part_scheme as part_scheme,
)
from .body.skeleton import (
    COCO as COCO,
)
from .body.skeleton import (
    LSP as LSP,
)
from .body.skeleton import (
    MPII as MPII,
)
from .body.skeleton import (
    Skeleton as Skeleton,
)
from .data.augment import Augmentation as Augmentation
from .data.check import check_data as check_data
from .data.datasets.catalogue import (
    DATASETS as DATASETS,
)
from .data.datasets.catalogue import (
    DataSpec as DataSpec,
)
from .data.datasets.catalogue import (
    data_root as data_root,
)
from .data.datasets.catalogue import (
    open_data as open_data,
)
from .data.geometry import (
    ImageSize as ImageSize,
)
from .data.geometry import (
    crop_to_heatmap as crop_to_heatmap,
)
from .data.geometry import (
    heatmap_to_crop as heatmap_to_crop,
)
from .data.heatmaps import (
    DECODINGS as DECODINGS,
)
from .data.heatmaps import (
    encode as encode,
)
from .data.heatmaps import (
    quarter_offset as quarter_offset,
)
from .data.loader import (
    Crops as Crops,
)
from .data.loader import (
    collate as collate,
)
from .data.loader import (
    crop_people as crop_people,
)
from .data.sample import normalise as normalise
from .evaluation.detections import BoxSource as BoxSource
from .evaluation.metrics import (
    evaluate as evaluate,
)
from .evaluation.metrics import (
    metric_title as metric_title,
)
from .evaluation.metrics import (
    primary_distance_metric as primary_distance_metric,
)
from .evaluation.pck import (
    counted_keypoints as counted_keypoints,
)
from .evaluation.pck import (
    metric_name as metric_name,
)
from .evaluation.pck import (
    ranking as ranking,
)
from .evaluation.power import (
    power as power,
)
from .evaluation.power import (
    seeds_needed as seeds_needed,
)
from .evaluation.prediction import (
    predict as predict,
)
from .evaluation.prediction import (
    scores_and_losses as scores_and_losses,
)
from .evaluation.seeds import (
    compare_seeds as compare_seeds,
)
from .evaluation.seeds import (
    holm as holm,
)
from .evaluation.seeds import (
    mean_interval as mean_interval,
)
from .evaluation.seeds import (
    prediction_interval as prediction_interval,
)
from .evaluation.stats import pck_interval as pck_interval
from .model.architecture import (
    Architecture as Architecture,
)
from .model.architecture import (
    Genotype as Genotype,
)
from .model.backbones import BACKBONES as BACKBONES
from .model.backbones.fabric import FABRIC_1 as FABRIC_1
from .model.cost import (
    measured_cost as measured_cost,
)
from .model.cost import (
    module_costs as module_costs,
)
from .model.expected_cost import ExpectedCost as ExpectedCost
from .model.fabric import mix_operations as mix_operations
from .model.folded import fold as fold
from .model.latency import measure_latency as measure_latency
from .model.memory import (
    largest_batch as largest_batch,
)
from .model.memory import (
    training_memory as training_memory,
)
from .model.network import PoseNFS as PoseNFS
from .model.operations import OPERATIONS as OPERATIONS
from .model.pruning import (
    check_pruning as check_pruning,
)
from .model.pruning import (
    prune as prune,
)
from .model.released import load_released as load_released
from .model.space import (
    FabricSpec as FabricSpec,
)
from .model.space import (
    Rules as Rules,
)
from .model.vectors import (
    gather_parts as gather_parts,
)
from .model.vectors import (
    length_for_score as length_for_score,
)
from .model.vectors import (
    squash as squash,
)
from .model.vectors import (
    squash_length as squash_length,
)
from .plugins import load_plugin as load_plugin
from .search.build import build as build
from .search.bundled import BUNDLED_MODEL as BUNDLED_MODEL
from .search.configuration import (
    CheckpointConfig as CheckpointConfig,
)
from .search.configuration import (
    RuntimeConfig as RuntimeConfig,
)
from .search.configuration import (
    SearchConfig as SearchConfig,
)
from .search.configuration import (
    TrainingConfig as TrainingConfig,
)
from .search.detached import (
    detach as detach,
)
from .search.detached import (
    follow as follow,
)
from .search.detached import (
    send as send,
)
from .search.experiment import Experiment as Experiment
from .search.run_dir import (
    RunDir as RunDir,
)
from .search.run_dir import (
    find_run as find_run,
)
from .search.run_dir import (
    list_runs as list_runs,
)
from .search.saved_models import (
    load_model as load_model,
)
from .search.saved_models import (
    save_model as save_model,
)
from .search.session import Search as Search
from .search.strategies import STRATEGIES as STRATEGIES
from .study.audit import (
    gradient_errors as gradient_errors,
)
from .study.audit import (
    movements as movements,
)
from .study.children import parent_and_child as parent_and_child
from .study.comparing import compare_runs as compare_runs
from .study.decoding import decoding_table as decoding_table
from .study.distinctness import part_distinctness as part_distinctness
from .study.experiments import (
    PROFILES as PROFILES,
)
from .study.experiments import (
    TABLES as TABLES,
)
from .study.experiments import (
    choose_profile as choose_profile,
)
from .study.pruning import pruning_table as pruning_table
from .study.row_costs import (
    cost_table as cost_table,
)
from .study.row_costs import (
    frontier_table as frontier_table,
)
from .study.row_costs import (
    latency_table as latency_table,
)
from .study.rows import (
    distinctness_table as distinctness_table,
)
from .study.rows import (
    mean_architectures as mean_architectures,
)
from .study.rows import (
    outcomes as outcomes,
)
from .study.rows import (
    searched_rows as searched_rows,
)
from .study.tables import (
    caption as caption,
)
from .study.tables import (
    comparison_table as comparison_table,
)
from .study.tables import (
    loss_comparison_table as loss_comparison_table,
)
from .study.tables import (
    score_table as score_table,
)
from .study.testing import evaluate_model as evaluate_model
from .viz.ablations import (
    accuracy_against_cost as accuracy_against_cost,
)
from .viz.ablations import (
    run_curves as run_curves,
)
from .viz.ablations import (
    run_list as run_list,
)
from .viz.ablations import (
    score_dots as score_dots,
)
from .viz.architectures import (
    distance_maps as distance_maps,
)
from .viz.architectures import (
    distance_strips as distance_strips,
)
from .viz.architectures import (
    genotype_table as genotype_table,
)
from .viz.body_graph import draw_body as draw_body
from .viz.cell_graph import draw_cell as draw_cell
from .viz.costs import (
    cost_treemap as cost_treemap,
)
from .viz.costs import (
    expected_cost_curve as expected_cost_curve,
)
from .viz.curves import (
    alpha_curves as alpha_curves,
)
from .viz.curves import (
    beta_curves as beta_curves,
)
from .viz.curves import (
    collapse_curves as collapse_curves,
)
from .viz.curves import (
    loss_curve as loss_curve,
)
from .viz.curves import (
    score_curve as score_curve,
)
from .viz.difference_graph import (
    draw_difference as draw_difference,
)
from .viz.difference_graph import (
    draw_differences as draw_differences,
)
from .viz.errors import (
    calibration as calibration,
)
from .viz.errors import (
    errors_by_group as errors_by_group,
)
from .viz.errors import (
    errors_by_keypoint as errors_by_keypoint,
)
from .viz.errors import (
    pck_curves as pck_curves,
)
from .viz.graphs import (
    draw_fabric as draw_fabric,
)
from .viz.graphs import (
    draw_fabrics as draw_fabrics,
)
from .viz.graphs import (
    draw_pruned as draw_pruned,
)
from .viz.network_graph import draw_network as draw_network
from .viz.part_graph import (
    draw_part_schemes as draw_part_schemes,
)
from .viz.part_graph import (
    draw_skeleton as draw_skeleton,
)
from .viz.poses import (
    draw_map_change as draw_map_change,
)
from .viz.poses import (
    draw_people as draw_people,
)
from .viz.poses import (
    draw_person_maps as draw_person_maps,
)
from .viz.poses import (
    draw_score_map as draw_score_map,
)
from .viz.poses import (
    draw_score_maps as draw_score_maps,
)
from .viz.poses import (
    draw_skeletons as draw_skeletons,
)
from .viz.poses import (
    draw_vectors as draw_vectors,
)
from .viz.predictions import (
    DrawingRule as DrawingRule,
)
from .viz.predictions import (
    predict_images as predict_images,
)
from .viz.report import write_report as write_report
from .viz.table_page import write_table_page as write_table_page
from .viz.vectors import (
    squash_curves as squash_curves,
)
from .viz.vectors import (
    visibility_boxes as visibility_boxes,
)
from .viz.vectors import (
    visibility_means as visibility_means,
)
from .widgets.browser import RunBrowser as RunBrowser
from .widgets.designer import PartDesigner as PartDesigner
from .widgets.editor import ArchitectureEditor as ArchitectureEditor
from .widgets.explorer import HeatmapExplorer as HeatmapExplorer
from .widgets.panel import SearchPanel as SearchPanel
