"""The Python libraries that a sandbox's environment promises; a foundation, plain data.

The one list of them: the skill text names them, `sandbox_env` installs and tries them, and the
extras `data` and `libraries` of the package are held to it by a test.
"""

from dataclasses import dataclass
from typing import Final

__all__ = ["GROUPS", "LIBRARIES", "Library", "of_group"]

_DATA: Final = "data and plots"
_LEARNING: Final = "machine learning"
_MATHS: Final = "mathematics and optimisation"
_FILES: Final = "files and documents"
_MEDIA: Final = "image and media"
_STORAGE: Final = "storage and formats"
_WEB: Final = "web"
_UTILITIES: Final = "utilities"

GROUPS: Final = (_DATA, _LEARNING, _MATHS, _FILES, _MEDIA, _STORAGE, _WEB, _UTILITIES)
"""What the libraries are for, in the order in which they are told."""


@dataclass(frozen=True, kw_only=True)
class Library:
    """One library that code in the sandbox can import.

    Attributes:
        name: The distribution, as the package index and `pip list` have it.
        imports: The module that code imports.
        groups: Where it is told, of `GROUPS`; the first is its own.
        everyday: Whether it is of the small set, the extra `data`.
        extras: Optional parts of the distribution that are installed, too.
        needs: What a part of its work needs beside the package, and how to come by it; empty when
            everything works as installed.
    """

    name: str
    imports: str
    groups: tuple[str, ...]
    everyday: bool = False
    extras: tuple[str, ...] = ()
    needs: str = ""

    @property
    def group(self) -> str:
        """Where it is told first."""
        return self.groups[0]

    @property
    def requirement(self) -> str:
        """The name with its extras, as an installer takes it."""
        return f"{self.name}[{','.join(self.extras)}]" if self.extras else self.name


_NEEDS: Final = {
    "plotly": (
        "Pictures of charts (write_image) need the package kaleido and a Chrome browser; HTML "
        "needs nothing."
    ),
    "torch": (
        "On x86-64 the package index has the build with CUDA, which works on the CPU and "
        "takes 7 GB."
    ),
    "torchvision": "Trained weights are fetched from the internet.",
    "torchaudio": (
        "Its load and save need the package torchcodec and the system's ffmpeg; "
        "scipy.io.wavfile reads and writes WAV without."
    ),
    "spacy": (
        "Trained pipelines such as en_core_web_sm are not on the package index; with "
        "internet: python -m spacy download en_core_web_sm."
    ),
    "nltk": (
        "Corpora and models (punkt_tab, stopwords, wordnet) are data of their own; with "
        "internet: python -m nltk.downloader -d FOLDER popular, then NLTK_DATA=FOLDER."
    ),
    "textblob": (
        "Sentences, tags and noun phrases need corpora of nltk; sentiment and spelling need "
        "nothing."
    ),
    "opencv-python": "The system's libGL and GLib: apt-get install libgl1 libglib2.0-0.",
    "pydub": "Reading anything but WAV needs the system's ffprobe: apt-get install ffmpeg.",
    "Wand": "The system's ImageMagick: apt-get install imagemagick.",
}


def _library(name: str, imports: str, *groups: str) -> Library:
    return Library(name=name, imports=imports, groups=groups, needs=_NEEDS.get(name, ""))


def _everyday(name: str, imports: str, *groups: str) -> Library:
    return Library(name=name, imports=imports, groups=groups, everyday=True)


LIBRARIES: Final = (
    _everyday("pandas", "pandas", _DATA),
    _everyday("numpy", "numpy", _DATA),
    _everyday("matplotlib", "matplotlib", _DATA),
    _library("plotly", "plotly", _DATA),
    _library("bokeh", "bokeh", _DATA),
    _everyday("scipy", "scipy", _DATA),
    _everyday("statsmodels", "statsmodels", _DATA),
    _library("sympy", "sympy", _DATA),
    _everyday("scikit-learn", "sklearn", _LEARNING),
    _library("torch", "torch", _LEARNING),
    _library("torchvision", "torchvision", _LEARNING),
    _library("torchaudio", "torchaudio", _LEARNING),
    _library("xgboost", "xgboost", _LEARNING),
    _library("spacy", "spacy", _LEARNING),
    _library("nltk", "nltk", _LEARNING),
    _library("textblob", "textblob", _LEARNING),
    _library("scikit-image", "skimage", _LEARNING),
    _library("cvxpy", "cvxpy", _MATHS),
    _library("ortools", "ortools", _MATHS),
    _library("pulp", "pulp", _MATHS),
    _library("z3-solver", "z3", _MATHS),
    _library("networkx", "networkx", _MATHS),
    _library("igraph", "igraph", _MATHS),
    _everyday("openpyxl", "openpyxl", _FILES),
    _library("xlrd", "xlrd", _FILES),
    _library("XlsxWriter", "xlsxwriter", _FILES),
    _library("python-docx", "docx", _FILES),
    _library("python-pptx", "pptx", _FILES),
    _library("PyPDF2", "PyPDF2", _FILES),
    _library("pdfplumber", "pdfplumber", _FILES),
    _library("reportlab", "reportlab", _FILES),
    _library("lxml", "lxml", _FILES),
    _library("beautifulsoup4", "bs4", _FILES, _WEB),
    Library(
        name="markitdown",
        imports="markitdown",
        groups=(_FILES,),
        extras=("docx", "pdf", "pptx", "xls", "xlsx"),
    ),
    _library("pillow", "PIL", _MEDIA),
    _library("opencv-python", "cv2", _MEDIA),
    _library("imageio", "imageio", _MEDIA),
    _library("moviepy", "moviepy", _MEDIA),
    _library("pydub", "pydub", _MEDIA),
    _library("svgwrite", "svgwrite", _MEDIA),
    _library("Wand", "wand", _MEDIA),
    _everyday("duckdb", "duckdb", _STORAGE),
    _library("SQLAlchemy", "sqlalchemy", _STORAGE),
    _library("pyarrow", "pyarrow", _STORAGE),
    _library("orjson", "orjson", _STORAGE),
    _library("ujson", "ujson", _STORAGE),
    _library("PyYAML", "yaml", _STORAGE),
    _everyday("requests", "requests", _WEB),
    _library("httpx", "httpx", _WEB),
    _library("fastapi", "fastapi", _WEB),
    _library("Flask", "flask", _WEB),
    _library("Django", "django", _WEB),
    _library("pydantic", "pydantic", _UTILITIES),
    _library("Faker", "faker", _UTILITIES),
    _library("rich", "rich", _UTILITIES),
    _library("cryptography", "cryptography", _UTILITIES),
    _library("qrcode", "qrcode", _UTILITIES),
    _library("boto3", "boto3", _UTILITIES),
)
"""All of them, each once."""


def of_group(group: str) -> tuple[Library, ...]:
    """The libraries that are told in a group, in the order in which they are told.

    A library of two groups is told in both.
    """
    return tuple(library for library in LIBRARIES if group in library.groups)
