# The public names of posenfs. `posenfs/__init__.py` imports each at its first use; type checkers
# and IDEs read this file.

from .body.parts import (
    Part as Part,
    part_scheme as part_scheme,
)
from .body.skeleton import (
    COCO as COCO,
    LSP as LSP,
    MPII as MPII,
    Skeleton as Skeleton,
)
from .data.augment import Augmentation as Augmentation
from .data.check import check_data as check_data
from .data.datasets.catalogue import (
    DATASETS as DATASETS,
    DataSpec as DataSpec,
    data_root as data_root,
    open_data as open_data,
)
from .data.geometry import (
    ImageSize as ImageSize,
    crop_to_heatmap as crop_to_heatmap,
    heatmap_to_crop as heatmap_to_crop,
)
from .data.heatmaps import (
    DECODINGS as DECODINGS,
    encode as encode,
    quarter_offset as quarter_offset,
)
from .data.loader import (
    Crops as Crops,
    collate as collate,
    crop_people as crop_people,
)
from .data.sample import normalise as normalise
from .evaluation.detections import BoxSource as BoxSource
from .evaluation.metrics import (
    evaluate as evaluate,
    metric_title as metric_title,
    primary_distance_metric as primary_distance_metric,
)
from .evaluation.pck import (
    counted_keypoints as counted_keypoints,
    metric_name as metric_name,
    ranking as ranking,
)
from .evaluation.power import (
    power as power,
    seeds_needed as seeds_needed,
)
from .evaluation.prediction import (
    predict as predict,
    scores_and_losses as scores_and_losses,
)
from .evaluation.seeds import (
    compare_seeds as compare_seeds,
    holm as holm,
    mean_interval as mean_interval,
    prediction_interval as prediction_interval,
)
from .evaluation.stats import pck_interval as pck_interval
from .model.architecture import (
    Architecture as Architecture,
    Genotype as Genotype,
)
from .model.backbones import BACKBONES as BACKBONES
from .model.backbones.fabric import FABRIC_1 as FABRIC_1
from .model.cost import (
    measured_cost as measured_cost,
    module_costs as module_costs,
)
from .model.expected_cost import ExpectedCost as ExpectedCost
from .model.fabric import mix_operations as mix_operations
from .model.folded import fold as fold
from .model.latency import measure_latency as measure_latency
from .model.memory import (
    largest_batch as largest_batch,
    training_memory as training_memory,
)
from .model.network import PoseNFS as PoseNFS
from .model.operations import OPERATIONS as OPERATIONS
from .model.pruning import (
    check_pruning as check_pruning,
    prune as prune,
)
from .model.released import load_released as load_released
from .model.space import (
    FabricSpec as FabricSpec,
    Rules as Rules,
)
from .model.vectors import (
    gather_parts as gather_parts,
    length_for_score as length_for_score,
    squash as squash,
    squash_length as squash_length,
)
from .plugins import load_plugin as load_plugin
from .search.build import build as build
from .search.bundled import BUNDLED_MODEL as BUNDLED_MODEL
from .search.configuration import (
    CheckpointConfig as CheckpointConfig,
    RuntimeConfig as RuntimeConfig,
    SearchConfig as SearchConfig,
    TrainingConfig as TrainingConfig,
)
from .search.detached import (
    detach as detach,
    follow as follow,
    send as send,
)
from .search.experiment import Experiment as Experiment
from .search.result import (
    describe_score as describe_score,
    result_doubts as result_doubts,
)
from .search.run_dir import (
    RunDir as RunDir,
    find_run as find_run,
    list_runs as list_runs,
)
from .search.saved_models import (
    load_model as load_model,
    save_model as save_model,
)
from .search.session import Search as Search
from .search.strategies import STRATEGIES as STRATEGIES
from .study.children import parent_and_child as parent_and_child
from .study.cost_tables import (
    cost_table as cost_table,
    latency_table as latency_table,
)
from .study.decoding import decoding_table as decoding_table
from .study.distinctness import (
    distinctness_table as distinctness_table,
    part_distinctness as part_distinctness,
)
from .study.gradient_checks import (
    gradient_errors as gradient_errors,
    movements as movements,
)
from .study.model_evaluation import evaluate_model as evaluate_model
from .study.outcomes import (
    mean_architectures as mean_architectures,
    outcomes as outcomes,
    searched_rows as searched_rows,
)
from .study.profiles import (
    PROFILES as PROFILES,
    choose_profile as choose_profile,
)
from .study.pruning_proof import pruning_table as pruning_table
from .study.rows import TABLES as TABLES
from .study.runs import compare_runs as compare_runs
from .study.score_tables import (
    comparison_table as comparison_table,
    loss_comparison_table as loss_comparison_table,
    printed_table as printed_table,
    score_table as score_table,
)
from .study.systems import systems_table as systems_table
from .study.table_files import caption as caption
from .viz.ablations import (
    accuracy_against_cost as accuracy_against_cost,
    run_curves as run_curves,
    run_list as run_list,
    score_dots as score_dots,
)
from .viz.architecture_curves import (
    alpha_curves as alpha_curves,
    beta_curves as beta_curves,
    collapse_curves as collapse_curves,
)
from .viz.architectures import (
    distance_maps as distance_maps,
    distance_strips as distance_strips,
    genotype_table as genotype_table,
)
from .viz.body_graph import (
    annotated_pose as annotated_pose,
    draw_body as draw_body,
)
from .viz.cell_graph import draw_cell as draw_cell
from .viz.costs import (
    cost_treemap as cost_treemap,
    expected_cost_curve as expected_cost_curve,
)
from .viz.curves import (
    loss_curve as loss_curve,
    score_curve as score_curve,
)
from .viz.difference_graph import (
    draw_difference as draw_difference,
    draw_differences as draw_differences,
)
from .viz.errors import (
    calibration as calibration,
    errors_by_group as errors_by_group,
    errors_by_keypoint as errors_by_keypoint,
    pck_curves as pck_curves,
)
from .viz.fabric_graph import (
    draw_fabric as draw_fabric,
    draw_fabrics as draw_fabrics,
    draw_pruned as draw_pruned,
)
from .viz.network_graph import draw_network as draw_network
from .viz.pose_grid import (
    draw_annotated_poses as draw_annotated_poses,
    draw_predicted_poses as draw_predicted_poses,
)
from .viz.poses import (
    draw_people as draw_people,
    draw_skeletons as draw_skeletons,
)
from .viz.predictions import (
    DrawingRule as DrawingRule,
    predict_images as predict_images,
)
from .viz.report import write_report as write_report
from .viz.score_maps import (
    draw_map_change as draw_map_change,
    draw_person_maps as draw_person_maps,
    draw_score_map as draw_score_map,
    draw_score_maps as draw_score_maps,
    draw_vectors as draw_vectors,
)
from .viz.skeleton_graph import (
    draw_part_schemes as draw_part_schemes,
    draw_skeleton as draw_skeleton,
)
from .viz.systems import draw_systems as draw_systems
from .viz.table_page import write_table_page as write_table_page
from .viz.vectors import (
    squash_curves as squash_curves,
    visibility_boxes as visibility_boxes,
    visibility_means as visibility_means,
)
from .widgets.browser import RunBrowser as RunBrowser
from .widgets.editor import ArchitectureEditor as ArchitectureEditor
from .widgets.explorer import HeatmapExplorer as HeatmapExplorer
from .widgets.panel import SearchPanel as SearchPanel
from .widgets.part_designer import PartDesigner as PartDesigner
