"""Working projects to begin with, one for each language: what `lamella init` writes."""

from lamella.scaffold.languages import Language, languages
from lamella.scaffold.project import File, Project, ProjectError, language_of, make_project, name_from
from lamella.scaffold.writing import write_project

__all__ = [
    "File",
    "Language",
    "Project",
    "ProjectError",
    "language_of",
    "languages",
    "make_project",
    "name_from",
    "write_project",
]
