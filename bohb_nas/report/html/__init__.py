"""The report as one HTML page that opens offline: tables written here, figures drawn from its data by its own script."""

from bohb_nas.report.html.document import page

__all__ = ["page"]
