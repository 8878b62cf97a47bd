"""Resources and pages over HTTP."""
