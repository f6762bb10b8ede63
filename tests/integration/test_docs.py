"""The pages build without a warning, need no network, and every link in the project's Markdown leads somewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from myst_parser.mdit_to_docutils.base import default_slugify
