"""Proposals: average recall, curves, files, and what they are compared with."""

from tensormask_zoo.proposals.boundary import boundary_iou
from tensormask_zoo.proposals.curves import save_recall_curves
from tensormask_zoo.proposals.evaluator import ProposalEvaluator, table
from tensormask_zoo.proposals.files import read_proposals, write_proposals
from tensormask_zoo.proposals.from_files import evaluate_files
from tensormask_zoo.proposals.patches import PatchEvaluator, patch_ious
from tensormask_zoo.proposals.reachable import reachable
from tensormask_zoo.proposals.recall import RecallCurves
from tensormask_zoo.proposals.sliding_windows import sliding_windows

__all__ = [
    "PatchEvaluator",
    "ProposalEvaluator",
    "RecallCurves",
    "boundary_iou",
    "evaluate_files",
    "patch_ious",
    "reachable",
    "read_proposals",
    "save_recall_curves",
    "sliding_windows",
    "table",
    "write_proposals",
]
