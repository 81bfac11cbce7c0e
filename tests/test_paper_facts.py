"""What the paper and its released code fix by number: geometry of fabrics, Table I, honest costs."""

import pytest

from posenfs.body.parts import part_scheme
from posenfs.body.skeleton import COCO, LSP, MPII
from posenfs.model.backbones.fabric import FABRIC_1, FABRIC_2, FABRIC_3, FabricBackbone
from posenfs.model.backbones.hrnet import HRNet
from posenfs.model.backbones.torchvision_backbones import MobileNetV2, ResNet50
from posenfs.model.baselines import Branchnet, HRNetPose, SimpleBaseline
from posenfs.model.cost import measured_cost
from posenfs.model.network import PoseNFS
from posenfs.model.space import FabricSpec


@pytest.mark.parametrize(
    ("layers", "rows"),
    [(6, [2, 3, 4, 3, 2, 1]), (7, [2, 3, 4, 4, 3, 2, 1]), (8, [2, 3, 4, 4, 4, 3, 2, 1])],
)
def test_cells_per_layer(layers, rows):
    assert [len(layer) for layer in FabricSpec(layers=layers, first=0).grid()] == rows


def test_cells_of_heads_and_backbones():
    assert len(FabricSpec().cells) == 6
    assert [len(spec.cells) for spec in (FABRIC_1, FABRIC_2, FABRIC_3)] == [9, 17, 17]


@pytest.mark.parametrize(("hidden", "edges"), [(1, 1), (2, 3), (3, 6)])
def test_shapes_of_alpha_and_beta(hidden, edges):
    spec = FabricSpec(hidden_nodes=hidden)
    assert spec.alpha_shape == (edges, 4)
    assert spec.beta_shape == (6, 3)
    assert FabricSpec(hidden_nodes=hidden, alpha_per_cell=True).alpha_shape == (6, edges, 4)


def test_edges_are_in_order():
    assert FabricSpec(hidden_nodes=2).edges == [(0, 1), (0, 2), (1, 2)]


TABLE_1 = {
    3: {
        "upper_limb_part": "left_shoulder right_shoulder left_elbow right_elbow left_wrist right_wrist",
        "head_part": "head_top upper_neck thorax",
        "lower_limb_part": "left_hip right_hip left_knee right_knee left_ankle right_ankle pelvis",
    },
    5: {
        "left_arm_part": "left_elbow left_wrist",
        "right_arm_part": "right_elbow right_wrist",
        "legs_part": "left_knee right_knee left_ankle right_ankle",
        "head_shoulder_part": "head_top upper_neck thorax left_shoulder right_shoulder",
        "hips_part": "pelvis left_hip right_hip",
    },
    8: {
        "left_upper_arm_part": "left_shoulder left_elbow",
        "right_upper_arm_part": "right_shoulder right_elbow",
        "left_lower_arm_part": "left_elbow left_wrist",
        "right_lower_arm_part": "right_elbow right_wrist",
        "left_lower_leg_part": "left_knee left_ankle",
        "right_lower_leg_part": "right_knee right_ankle",
        "head_shoulder_part": "head_top upper_neck thorax left_shoulder right_shoulder",
        "upper_legs_part": "left_hip pelvis right_hip left_knee right_knee",
    },
}


@pytest.mark.parametrize("count", TABLE_1)
def test_table_1_on_mpii(count):
    scheme = {
        part.name: {MPII.keypoints[k] for k in part.keypoints} for part in part_scheme(MPII, count)
    }
    assert scheme == {name: set(keypoints.split()) for name, keypoints in TABLE_1[count].items()}
    assert list(scheme) == list(TABLE_1[count])


@pytest.mark.parametrize("skeleton", [MPII, COCO, LSP], ids=lambda s: s.name)
def test_who_shares_keypoints(skeleton):
    def shared(count):
        counts = [
            sum(k in part.keypoints for part in part_scheme(skeleton, count))
            for k in range(len(skeleton))
        ]
        return {skeleton.keypoints[k] for k, n in enumerate(counts) if n > 1}

    assert not (shared(1) or shared(3) or shared(5))
    assert shared(8) == {
        f"{side}_{k}" for side in ("left", "right") for k in ("shoulder", "elbow", "knee")
    }


def test_coco_head_is_the_face():
    assert [COCO.keypoints[k] for k in part_scheme(COCO, 3)[1].keypoints] == list(
        COCO.keypoints[:5]
    )


def _network(parts=3, skeleton=MPII, vector_dim=8, backbone=MobileNetV2, **spec):
    return PoseNFS(backbone(), part_scheme(skeleton, parts), FabricSpec(**spec), vector_dim)


def _whole(network, **options):
    return network(part_scheme(MPII, 1), **options)


# params in M and multiply-adds in G, to the printed digit (Tables II-VIII, honest count)
COSTS = {
    "MobileNet-V2": (lambda: MobileNetV2(), (256, 256), 1.338, 0.335),
    "Table II, P=3, d=8": (lambda: _network(), (256, 256), 2.895, 1.250),
    "Table IV, d=1": (lambda: _network(vector_dim=1), (256, 256), 2.890, 1.231),
    "Table IV, d=4": (lambda: _network(vector_dim=4), (256, 256), 2.892, 1.239),
    "Table IV, d=16": (lambda: _network(vector_dim=16), (256, 256), 2.900, 1.271),
    "Table III, P=1": (lambda: _network(1), (256, 256), 1.860, 0.654),
    "Table III, P=5": (lambda: _network(5), (256, 256), 3.930, 1.846),
    "Table III, P=8": (lambda: _network(8), (256, 256), 5.483, 2.748),
    "ours-a": (lambda: _network(hidden_nodes=2), (384, 384), 3.873, 4.924),
    "ResNet-50": (lambda: ResNet50(), (256, 256), 23.508, 5.338),
    "HRNet-W32, stem to stage 3": (lambda: HRNet(), (256, 256), 8.128, 6.324),
    "ours-b": (lambda: _network(5, backbone=HRNet, width=16), (256, 256), 14.658, 10.073),
    "ours-c": (
        lambda: _network(3, backbone=HRNet, width=12, hidden_nodes=2),
        (256, 256),
        11.839,
        8.963,
    ),
    "ours-2": (lambda: _network(skeleton=COCO, backbone=ResNet50), (384, 288), 27.466, 11.334),
    "ours-3": (lambda: _network(5, COCO, backbone=HRNet, width=16), (384, 288), 14.659, 17.002),
    "Branchnet-1": (
        lambda: Branchnet(HRNet(), part_scheme(MPII, 3), 400),
        (256, 256),
        12.822,
        25.421,
    ),
    "Branchnet-2": (
        lambda: Branchnet(HRNet(), part_scheme(MPII, 5), 296),
        (256, 256),
        12.606,
        24.505,
    ),
    "SimpleBaseline-50": (lambda: _whole(SimpleBaseline), (256, 256), 33.999, 7.234),
    "SimpleBaseline-50, vector 8": (
        lambda: _whole(SimpleBaseline, vector_dim=8),
        (256, 256),
        34.028,
        7.352,
    ),
    "HRNet-W32": (lambda: _whole(HRNetPose), (256, 256), 28.536, 10.193),
    "HRNet-W32, vector 8": (lambda: _whole(HRNetPose, vector_dim=8), (256, 256), 28.540, 10.208),
    "ours-1": (lambda: _network(skeleton=COCO, width=16), (384, 288), 5.074, 4.329),
    "Fabric-1": (lambda: FabricBackbone(FABRIC_1), (256, 256), 4.090, 1.270),
    "Fabric-2": (lambda: FabricBackbone(FABRIC_2), (256, 256), 5.263, 1.235),
    "Fabric-3": (lambda: FabricBackbone(FABRIC_3), (256, 256), 7.544, 1.688),
    # the backbone, and the heads of Table II without their entries: 2.895 - 1.338 - 0.212 M
    "Fabric-1, P=3": (
        lambda: _network(backbone=lambda: FabricBackbone(FABRIC_1)),
        (256, 256),
        5.435,
        2.144,
    ),
    "Fabric-2, P=3": (
        lambda: _network(backbone=lambda: FabricBackbone(FABRIC_2)),
        (256, 256),
        6.609,
        2.109,
    ),
}


@pytest.mark.parametrize("item", COSTS)
def test_honest_costs(item):
    model, size, params_m, gmac = COSTS[item]
    cost = measured_cost(model(), *size)
    assert round(cost.params / 1e6, 3) == params_m
    assert round(cost.gmac, 3) == gmac
