"""The dynamic half of the doctor, as far as it is pure: what to try of a layer, and what the outcome means.

Nothing here starts anything. `plan` says what there is to try, `reading` follows what a probe prints, and `verdict`
words what came of it. `lamella.workshop` puts sandboxes in between.
"""

from lamella.layers.proving.plan import Kind, Target, plan_proof
from lamella.layers.proving.reading import Ending, Outcome, ProbeReader, Result, judge_program
from lamella.layers.proving.verdict import findings_of

__all__ = ["Ending", "Kind", "Outcome", "ProbeReader", "Result", "Target", "findings_of", "judge_program", "plan_proof"]
