"""What the command line does, as functions: whole jobs from files to a run folder and a page."""

from journeyman.sessions._clone import clone as clone
from journeyman.sessions._diagnose import DiagnoseCompoundingSettings as DiagnoseCompoundingSettings
from journeyman.sessions._diagnose import DiagnoseGradientSettings as DiagnoseGradientSettings
from journeyman.sessions._diagnose import DiagnoseStepSettings as DiagnoseStepSettings
from journeyman.sessions._diagnose import diagnose_compounding as diagnose_compounding
from journeyman.sessions._diagnose import diagnose_gradient as diagnose_gradient
from journeyman.sessions._diagnose import diagnose_step as diagnose_step
from journeyman.sessions._figures import FiguresSettings as FiguresSettings
from journeyman.sessions._figures import draw_figures as draw_figures
from journeyman.sessions._files import load_policy as load_policy
from journeyman.sessions._judge import judge as judge
from journeyman.sessions._practise import practise as practise
from journeyman.sessions._quickstart import QuickstartSettings as QuickstartSettings
from journeyman.sessions._quickstart import quickstart as quickstart
from journeyman.sessions._resume import report as report
from journeyman.sessions._resume import resume as resume
from journeyman.sessions._settings import FitSettings as FitSettings
from journeyman.sessions._settings import ImproveSettings as ImproveSettings
from journeyman.sessions._settings import PolicyShape as PolicyShape
