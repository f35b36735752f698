"""Trials of the group files and documents."""

from typing import Final

from ci_toolkit.sandbox_env.trials.trial import Trial

__all__ = ["TRIALS"]

_PDF: Final = """
from reportlab.pdfgen import canvas
page = canvas.Canvas("page.pdf")
page.drawString(72, 720, "Total: 42 apples")
page.showPage()
page.drawString(72, 720, "second page")
page.save()
"""

# A workbook of the format that no library here writes, packed.
_XLS: Final = (
    "eNq7cF7wwcKNUg8Z0IAdAzPDv/+cDGxIYoxAzAnjCDAA5f//BzFhNAcQ/x8FQwpwcgAjko2VYTfvGXZQHILi+yEDE8"
    "MGloNAkoHhERDHMBQw+OXnpSrQETiB3ZDICHKDLZBkZJgDFOFjkAS7SghMJoNJYTC5HqxyD5h0AIv0gklboNoHjFEM"
    "5+39tCygqTiCSQksx8cAMnc7WM8tsIghgyjDCVAqrp/ACFHLyuBYlJmYMzgl5Fh4GJYwAOPNPTUvtSgx5wGDCDAClz"
    "B8/a/AwPAFllMPKIyK01eckQEo/gNVnB2L+GQmFgaGBob/CeAE3gosXDcyQyI48Q+DILi8ZYTkycSCgpzUYi5QAQzO"
    "sAIoGZYXnJB5gGQKAz+YLQhOzgLAIvnPyo+XfJMC7OPBIg3gQhpirCrIdob/DI0gHUDNfHAZBrBaLTCpDSabwKZKg9"
    "lSYFIEmAiBtFqAKJTh1gxW0wKWVQPaYwwGl+3VkdgaQHbr68Adcq2P7TWB7HXuD6tE1l23X8igBPR9ClA/CDYz6DDq"
    "MM6aCQI77WE0IzTb3wWTkhhFAAeTANTt/6H1FT/DXwYuMFMQTNYxcYF9KMiwClTFMQkxbANpBBYYCMDFMApGwSgYBa"
    "NgFIyCUTAKRsGwBYzQxj6o3wHqDrBCuxTs0HGdv0D8b3SYZNiCIIZ8ICwBdkxdGfKAdBFDJUnpR4yBlRFmFiORemDj"
    "hSAQDrS9iCGbIQnsjmyS0y+wS8iI7B+iNQpQLwuRav8/UtxJY/sBhae5ZQ=="
)

TRIALS: Final = {
    "openpyxl": Trial(
        "writes a workbook with a formula and a chart, and reads it",
        """
from openpyxl import Workbook, load_workbook
from openpyxl.chart import BarChart, Reference
book = Workbook()
sheet = book.active
for row in (["name", "sold"], ["a", 3], ["b", 4]):
    sheet.append(row)
sheet["B4"] = "=SUM(B2:B3)"
chart = BarChart()
chart.add_data(Reference(sheet, min_col=2, min_row=1, max_row=3), titles_from_data=True)
sheet.add_chart(chart, "D2")
book.save("book.xlsx")
assert load_workbook("book.xlsx").active["B4"].value == "=SUM(B2:B3)"
""",
    ),
    "xlrd": Trial(
        "reads a workbook of the old format, .xls",
        f"""
import base64, zlib, xlrd
book = xlrd.open_workbook(file_contents=zlib.decompress(base64.b64decode("{_XLS}")))
assert book.sheet_by_index(0).row_values(0) == ["apples", 42.0]
""",
    ),
    "XlsxWriter": Trial(
        "writes a workbook with formats and a chart",
        """
import openpyxl, xlsxwriter
with xlsxwriter.Workbook("book.xlsx") as book:
    sheet = book.add_worksheet("Sales")
    sheet.write_row(0, 0, ["month", "sold"], book.add_format({"bold": True}))
    sheet.write_column(1, 1, [3, 4])
    chart = book.add_chart({"type": "column"})
    chart.add_series({"values": "=Sales!$B$2:$B$3"})
    sheet.insert_chart("D2", chart)
assert openpyxl.load_workbook("book.xlsx")["Sales"]["B3"].value == 4
""",
    ),
    "python-docx": Trial(
        "writes a Word document with a table, and reads it",
        """
import docx
document = docx.Document()
document.add_heading("Report", 1)
document.add_table(2, 2).cell(0, 0).text = "apples"
document.save("report.docx")
again = docx.Document("report.docx")
assert (again.paragraphs[0].text, again.tables[0].cell(0, 0).text) == ("Report", "apples")
""",
    ),
    "python-pptx": Trial(
        "writes slides, and reads them",
        """
import pptx
slides = pptx.Presentation()
slide = slides.slides.add_slide(slides.slide_layouts[1])
slide.shapes.title.text = "Results"
slide.placeholders[1].text = "42 apples"
slides.save("slides.pptx")
assert pptx.Presentation("slides.pptx").slides[0].shapes.title.text == "Results"
""",
    ),
    "PyPDF2": Trial(
        "takes one page out of a PDF",
        _PDF
        + """
from PyPDF2 import PdfReader, PdfWriter
writer = PdfWriter()
writer.add_page(PdfReader("page.pdf").pages[0])
writer.write("first.pdf")
first = PdfReader("first.pdf")
assert len(first.pages) == 1 and "42 apples" in first.pages[0].extract_text()
""",
    ),
    "pdfplumber": Trial(
        "reads the words of a PDF and where they stand",
        _PDF
        + """
import pdfplumber
with pdfplumber.open("page.pdf") as pdf:
    words = pdf.pages[0].extract_words()
    assert [word["text"] for word in words] == ["Total:", "42", "apples"]
    assert round(words[0]["x0"]) == 72
""",
    ),
    "reportlab": Trial(
        "makes a PDF with a table",
        """
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import getSampleStyleSheet
from reportlab.platypus import Paragraph, SimpleDocTemplate, Table
styles = getSampleStyleSheet()
parts = [Paragraph("Report", styles["Title"]), Table([["apples", 42], ["pears", 7]])]
SimpleDocTemplate("report.pdf", pagesize=A4).build(parts)
assert open("report.pdf", "rb").read(5) == b"%PDF-"
""",
    ),
    "lxml": Trial(
        "asks an XML document by XPath, and checks it against a schema",
        """
from lxml import etree
tree = etree.fromstring("<shop><fruit price='3'>apple</fruit><fruit price='5'>fig</fruit></shop>")
assert tree.xpath("//fruit[@price > 4]/text()") == ["fig"]
grammar = etree.fromstring(
    "<element name='shop' xmlns='http://relaxng.org/ns/structure/1.0'><oneOrMore>"
    "<element name='fruit'><attribute name='price'/><text/></element></oneOrMore></element>"
)
assert etree.RelaxNG(grammar).validate(tree)
""",
    ),
    "beautifulsoup4": Trial(
        "takes links and a table out of a web page",
        """
from bs4 import BeautifulSoup
html = "<p>See <a href='/one'>one</a>, <a href='/two'>two</a></p>"
html += "<table><tr><td>4</td><td>2</td></tr></table>"
page = BeautifulSoup(html, "html.parser")
assert [link["href"] for link in page.select("p a")] == ["/one", "/two"]
assert [cell.get_text() for cell in page.find_all("td")] == ["4", "2"]
""",
    ),
    "markitdown": Trial(
        "turns Word, Excel, PDF and HTML into Markdown",
        _PDF
        + """
import docx, pandas as pd
from markitdown import MarkItDown
document = docx.Document()
document.add_heading("Report", 1)
document.save("report.docx")
pd.DataFrame({"fruit": ["apples"], "sold": [42]}).to_excel("table.xlsx", index=False)
open("page.html", "w").write("<h2>Title</h2><ul><li>one</ul>")
def markdown(name):
    return MarkItDown().convert(name).text_content
assert markdown("report.docx").startswith("# Report")
assert "| apples | 42 |" in markdown("table.xlsx") and "42 apples" in markdown("page.pdf")
assert markdown("page.html").startswith("## Title")
""",
    ),
}
