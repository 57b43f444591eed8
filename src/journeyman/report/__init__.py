"""Findings, figures and films as one self-contained HTML page that opens offline."""

from journeyman.report._from_diagnose import compounding_figure as compounding_figure
from journeyman.report._from_diagnose import compounding_findings as compounding_findings
from journeyman.report._from_diagnose import modes_findings as modes_findings
from journeyman.report._from_diagnose import policy_row as policy_row
from journeyman.report._from_diagnose import report_interval as report_interval
from journeyman.report._model import SEVERITIES as SEVERITIES
from journeyman.report._model import Band as Band
from journeyman.report._model import CompoundingFigure as CompoundingFigure
from journeyman.report._model import CostFigure as CostFigure
from journeyman.report._model import Curve as Curve
from journeyman.report._model import Film as Film
from journeyman.report._model import Finding as Finding
from journeyman.report._model import Interval as Interval
from journeyman.report._model import PolicyRow as PolicyRow
from journeyman.report._model import Reference as Reference
from journeyman.report._model import Report as Report
from journeyman.report._numbers import format_interval as format_interval
from journeyman.report._numbers import format_number as format_number
from journeyman.report._numbers import format_share as format_share
from journeyman.report._page import render as render
from journeyman.report._page import write as write
