"""Spreadsheets written by hand, so that no library is needed to test what reads them."""

import base64
import struct
import zipfile
import zlib
from pathlib import Path
from xml.sax.saxutils import escape

_OFFICE = "http://schemas.openxmlformats.org"
_ODS = "urn:oasis:names:tc:opendocument:xmlns"


def write_xlsx(path: Path, sheets: dict[str, list[list]]) -> Path:
    """Write sheets of rows of values; a text that begins with # is an error cell."""
    names = "".join(f'<sheet name="{name}" sheetId="{i}" r:id="r{i}"/>' for i, name in enumerate(sheets, 1))
    links = "".join(
        f'<Relationship Id="r{i}" Type="{_OFFICE}/officeDocument/2006/relationships/worksheet" '
        f'Target="worksheets/sheet{i}.xml"/>'
        for i in range(1, len(sheets) + 1)
    )
    main = f"{_OFFICE}/spreadsheetml/2006/main"
    kinds = "application/vnd.openxmlformats-"
    with zipfile.ZipFile(path, "w") as book:
        book.writestr(
            "[Content_Types].xml",
            f'<Types xmlns="{_OFFICE}/package/2006/content-types">'
            f'<Default Extension="rels" ContentType="{kinds}package.relationships+xml"/>'
            '<Default Extension="xml" ContentType="application/xml"/><Override PartName="/xl/workbook.xml" '
            f'ContentType="{kinds}officedocument.spreadsheetml.sheet.main+xml"/></Types>',
        )
        book.writestr(
            "_rels/.rels",
            f'<Relationships xmlns="{_OFFICE}/package/2006/relationships"><Relationship Id="r1" '
            f'Type="{_OFFICE}/officeDocument/2006/relationships/officeDocument" Target="xl/workbook.xml"/>'
            "</Relationships>",
        )
        book.writestr(
            "xl/workbook.xml",
            f'<workbook xmlns="{main}" xmlns:r="{_OFFICE}/officeDocument/2006/relationships"><sheets>{names}</sheets>'
            "</workbook>",
        )
        book.writestr(
            "xl/_rels/workbook.xml.rels",
            f'<Relationships xmlns="{_OFFICE}/package/2006/relationships">{links}</Relationships>',
        )
        for i, rows in enumerate(sheets.values(), 1):
            data = "".join(
                f'<row r="{r}">{"".join(_xlsx_cell(f"{chr(65 + c)}{r}", own) for c, own in enumerate(row))}</row>'
                for r, row in enumerate(rows, 1)
            )
            book.writestr(
                f"xl/worksheets/sheet{i}.xml", f'<worksheet xmlns="{main}"><sheetData>{data}</sheetData></worksheet>'
            )
    return path


def _xlsx_cell(place: str, value) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return f'<c r="{place}" t="b"><v>{int(value)}</v></c>'
    if isinstance(value, (int, float)):
        return f'<c r="{place}"><v>{value!r}</v></c>'
    if value.startswith("#"):
        return f'<c r="{place}" t="e"><v>{value}</v></c>'
    return f'<c r="{place}" t="inlineStr"><is><t>{escape(value)}</t></is></c>'


def write_ods(path: Path, sheets: dict[str, list[list]]) -> Path:
    """Write sheets of rows of values as an OpenDocument spreadsheet."""
    tables = "".join(
        f'<table:table table:name="{name}">'
        + "".join(f"<table:table-row>{''.join(map(_ods_cell, row))}</table:table-row>" for row in rows)
        + "</table:table>"
        for name, rows in sheets.items()
    )
    kind = "application/vnd.oasis.opendocument.spreadsheet"
    with zipfile.ZipFile(path, "w") as book:
        book.writestr("mimetype", kind)
        book.writestr(
            "META-INF/manifest.xml",
            f'<manifest:manifest xmlns:manifest="{_ODS}:manifest:1.0"><manifest:file-entry manifest:full-path="/" '
            f'manifest:media-type="{kind}"/></manifest:manifest>',
        )
        book.writestr(
            "content.xml",
            f'<office:document-content xmlns:office="{_ODS}:office:1.0" xmlns:table="{_ODS}:table:1.0" '
            f'xmlns:text="{_ODS}:text:1.0"><office:body><office:spreadsheet>{tables}</office:spreadsheet></office:body>'
            "</office:document-content>",
        )
    return path


def _ods_cell(value) -> str:
    if value is None:
        return "<table:table-cell/>"
    if isinstance(value, bool):
        said = f'office:value-type="boolean" office:boolean-value="{str(value).lower()}"'
    elif isinstance(value, (int, float)):
        said = f'office:value-type="float" office:value="{value!r}"'
    else:
        said = 'office:value-type="string"'
    return f"<table:table-cell {said}><text:p>{escape(str(value))}</text:p></table:table-cell>"


def write_xlsb(path: Path, sheets: dict[str, list[list]]) -> Path:
    """Write sheets of rows of values as a binary workbook; a text that begins with # is an error cell."""
    links = "".join(
        f'<Relationship Id="r{i}" Type="{_OFFICE}/officeDocument/2006/relationships/worksheet" '
        f'Target="worksheets/sheet{i}.bin"/>'
        for i in range(1, len(sheets) + 1)
    )
    kinds = "application/vnd.ms-excel."
    bundles = b"".join(
        _record(0x9C, struct.pack("<II", 0, i) + _wide(f"r{i}") + _wide(name)) for i, name in enumerate(sheets, 1)
    )
    with zipfile.ZipFile(path, "w") as book:
        book.writestr(
            "[Content_Types].xml",
            f'<Types xmlns="{_OFFICE}/package/2006/content-types"><Default Extension="rels" '
            'ContentType="application/vnd.openxmlformats-package.relationships+xml"/><Default Extension="bin" '
            f'ContentType="{kinds}sheet.binary.macroEnabled.main"/></Types>',
        )
        book.writestr(
            "_rels/.rels",
            f'<Relationships xmlns="{_OFFICE}/package/2006/relationships"><Relationship Id="r1" '
            f'Type="{_OFFICE}/officeDocument/2006/relationships/officeDocument" Target="xl/workbook.bin"/>'
            "</Relationships>",
        )
        book.writestr("xl/workbook.bin", _record(0x8F) + bundles + _record(0x90) + _record(0x84))
        book.writestr(
            "xl/_rels/workbook.bin.rels",
            f'<Relationships xmlns="{_OFFICE}/package/2006/relationships">{links}</Relationships>',
        )
        for i, rows in enumerate(sheets.values(), 1):
            cells = b"".join(
                _record(0x00, struct.pack("<IIHBBBI", r, 0, 300, 0, 0, 0, 0))
                + b"".join(_xlsb_cell(c, own) for c, own in enumerate(row))
                for r, row in enumerate(rows)
            )
            size = struct.pack("<IIII", 0, len(rows) - 1, 0, max(map(len, rows)) - 1)
            book.writestr(
                f"xl/worksheets/sheet{i}.bin",
                _record(0x94, size) + _record(0x91) + cells + _record(0x92) + _record(0x82),
            )
    return path


_ERROR_CODES = {"#NULL!": 0x00, "#DIV/0!": 0x07, "#VALUE!": 0x0F, "#REF!": 0x17, "#NAME?": 0x1D, "#N/A": 0x2A}


def _record(kind: int, content: bytes = b"") -> bytes:
    return _number(kind) + _number(len(content)) + content


def _number(value: int) -> bytes:
    """Return a number in sevens of bits, the lowest first."""
    found = b""
    while value > 0x7F:
        found, value = found + bytes([value & 0x7F | 0x80]), value >> 7
    return found + bytes([value])


def _wide(text: str) -> bytes:
    return struct.pack("<I", len(text)) + text.encode("utf-16-le")


def _xlsb_cell(column: int, value) -> bytes:
    place = struct.pack("<II", column, 0)
    if value is None:
        return b""
    if isinstance(value, bool):
        return _record(0x04, place + bytes([value]))
    if isinstance(value, (int, float)):
        return _record(0x05, place + struct.pack("<d", value))
    if value.startswith("#"):
        return _record(0x03, place + bytes([_ERROR_CODES[value]]))
    return _record(0x06, place + _wide(value))


XLS = (
    "c-rk)T}V_x6h1Te*H!l~jod&)$jbDgg6KuJ!tzP6UiyVvb0JZ8WfQ`JvdqUI=&9&Mu!mmk=b=9<`hkdujCu%yz^$j~DJbYcy`4FC"
    "?sl)<zy%YGdzLvf=giDE-`+WA=I*|oj7^Q+O5|aVG=l=ORte}XAH!1O7*W7}%MwkeHnCWNEGsE7aU*pNCdywMVh_cB=Yhjb^(ktA"
    "&sYvYKeT5v>6#^!9mFBU1cxT3V(f9aiX{wH#4AqvDCrfXZ_wC>q_>gh0_i3kJH-ybWU{?}tBm7)yq5aHs2SX)IUmWh5h~%Oh~qOC"
    "nLSp6?YZt$?=tJCR?A=va7$a$nRHIr5x52+fc+?qZEcM$EmKf|+dT$9tr~zIPF_E$3H(dzXMp}+Ucd1dzlobT*MEtt07GCMVIr7E"
    "pcEQa(W3z7tS}>{Z4R8sPQw-qdi$uxK?B`=X{>s)sV-rq`}(muek|LMsgTW}>imjfmBKO@5{Ew>7E#Y(QBEmThPn$P)Q(XiMRASk"
    ">)+qCb#^2VlV^xlwXcyif-_ifR?NW3Vd}9j7Y$22&DcQt9HFkJc7k*Tj={RFqf$0@4bzzO)LVz^Y$kc1T<dDD!}iFx-S?_Tz9iRU"
    "d%QJ&vSR#0aujND<u05rKEu$!8rYS~LhdJ>n#lv_6X~jXhmXmllDj4E$_UJebVG@ewk`2=Si$1*S=p9?mQt`(v{Z@A<{&?URpg7q"
    "?dJmHAQ!9XgeYb+!V=F><0e`vttybX50ZVH-XWwg@eLJ_xCe<7lFdo+K~f0m0U?zdAn|M@g^+ZKq_{Y#K1eDdJtm|Caf%m^R1YWB"
    "#Yvlo6enLCo)OYSsn`L=bqbppp=lm8&BaUi;iVJW3qq?SUWo!P-SZ7~7cavH$snXxgwzuS83{I$;o)SsIGH|3CLz5cq)p(B1k;0L"
    "N>0rj_ggH77v&#WiVRl@{mV7OnQw+0u1s~0u=9^bFem@q{ik_|d@(qs$$bI8eF-FxKmrLQkVO?nuL}0Xtjd>fap@cKf1MdDv%%ja"
    "|E=tSEPe*?C*@AaV4Z`(qT**IXw1Q43!LNpUnpcRuAYM)=p-IJMaM6`v@!ShS@6W@;-yfr>(3U$^B=GO8^l8`0s"
)
"""A workbook of before 2007, packed, as xlwt writes it: "one", 8 days of time, load, temp, shop and on, and "two"."""


def write_xls(path: Path) -> Path:
    """Write the workbook of before 2007: its format is no package, and is written by no library that we need."""
    path.write_bytes(zlib.decompress(base64.b85decode(XLS)))
    return path
