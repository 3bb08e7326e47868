"""A folder of runs as one page: HTML, Markdown or LaTeX."""
