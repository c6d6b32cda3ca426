#!/usr/bin/env python3
"""Extracts the requirement tables of the spec sheets into fixtures/catalogue/*.json.

Usage: extract-catalogue.py SHEETS [--out DIR] [--check]

SHEETS is the folder with gdoi.md, ikev1.md, esp.md, gikev2.md and getvpn.md. With --check nothing is written; the exit
code is 1 when the checked-in files differ from what the sheets say.
"""

import argparse
import json
import pathlib
import re
import sys

ROW_ID = re.compile(r"^[A-Z][A-Z0-9]*(?:-[A-Z0-9]+)*-\d{3}$")
EXPECTED = {"gdoi": 538, "ikev1": 232, "esp": 100, "gikev2": 111, "getvpn": 290}


def cells(line):
    """Splits a table row at its unescaped bars; bars inside code spans stay."""
    out, cell, code, escaped = [], "", False, False
    for char in line.strip()[1:]:
        if escaped:
            cell += char
            escaped = False
        elif char == "\\":
            escaped = True
        elif char == "`":
            code = not code
            cell += char
        elif char == "|" and not code:
            out.append(cell.strip())
            cell = ""
        else:
            cell += char
    return out


def rows(text, first_heading, last_heading):
    """Yields (section, cells) of every table row whose first cell is an identifier."""
    section, on = "", False
    for line in text.splitlines():
        if line.startswith("#"):
            title = line.lstrip("#").strip()
            if title.startswith(first_heading):
                on = True
            elif last_heading and on and title.startswith(last_heading):
                return
            section = title
        elif on and line.startswith("|"):
            row = cells(line)
            if row and ROW_ID.match(row[0]):
                yield section, row


def level_of(word):
    """Gives the level and whether the word makes it a derived row or hardening."""
    hardening = "(H)" in word or word.startswith("DER")
    bare = word.replace("(H)", "").strip()
    level = {
        "MUST": "MUST", "MUST NOT": "MUST", "M": "MUST", "MN": "MUST", "lc": "MUST",
        "SHOULD": "SHOULD", "SHOULD NOT": "SHOULD", "S": "SHOULD", "SN": "SHOULD", "DER": "SHOULD",
        "MAY": "MAY", "Y": "MAY", "MAY NOT": "MAY",
    }.get(bare)
    if level is None:
        sys.exit(f"unknown level word {word!r}")
    return level, hardening


def scope_of(word):
    word = word.strip().lower()
    scopes = {"ks": "KS", "gm": "GM", "both": "BOTH", "b": "BOTH", "i": "GM", "r": "KS", "ks2": "KS", "gm2": "GM",
              "ks/gm": "BOTH", "i/r": "BOTH"}
    if word not in scopes:
        sys.exit(f"unknown subject {word!r}")
    return scopes[word]


def row(identifier, word, scope, statement, source, sheet, section, observation, hardening, level):
    return {
        "id": identifier, "level": level, "word": word, "subject": scope, "statement": statement, "source": source,
        "sheet": sheet, "section": section, "observation": observation, "hardening": hardening,
    }


def gdoi(text):
    for section, c in rows(text, "8.3", "8.4"):
        level, hardening = level_of(c[1])
        yield row(c[0], c[1], scope_of(c[2]), c[3], c[4], "gdoi", section, c[5], hardening, level)


def ikev1(text):
    for section, c in rows(text, "11. Requirements", "12. Vectors"):
        level, hardening = level_of(c[1])
        yield row(c[0], c[1], scope_of(c[2]), c[3], c[4], "ikev1", section, c[5], hardening, level)


def esp(text):
    for section, c in rows(text, "17. Requirements", "18. Open"):
        level, hardening = level_of(c[1])
        # Rows of our own profile, derived rows and rows of the expired delay-detection draft warn at most.
        hardening = hardening or c[3].startswith(("DER", "PROFILE")) or "D3P" in c[2] or "D3P" in c[3]
        yield row(c[0], c[1], "GM", c[2], c[3], "esp", section, c[4], hardening, level)


def gikev2(text):
    for section, c in rows(text, "12. Requirements", "13. AMBIG"):
        level, hardening = level_of(c[1])
        hardening = hardening or "DER" in c[4] or "AMBIG" in c[4] or "AMBIG" in c[3]
        yield row(c[0], c[1], scope_of(c[2]), c[3], c[4], "gikev2", section, c[5], hardening, level)


def advisory(text):
    """Reads the list of cases that may only warn until a capture confirms them."""
    start = text.index("Advisory cases.")
    paragraph = text[start:text.index("Equipment needed", start)]
    # Parentheses narrow an entry ("the >= 90 s part is firm"); the entry itself stays.
    names = set()
    for match in re.finditer(r"\b([A-Z0-9]+-\d{3})\b(\s*\([^)]*\))?", paragraph):
        names.add(match.group(1))
    return names


def getvpn(text):
    soft = advisory(text)
    for section, c in rows(text, "9. Conformance", "10. Open"):
        purpose = c[2]
        title = re.sub(r" *\[P[^\]]*\]", "", purpose)
        statement = f"{title}: {c[5]}"
        stimulus = "; ".join(part for part in (c[3], c[4]) if part not in ("–", ""))
        observation = f"{stimulus}; access {c[7]}" if stimulus else f"access {c[7]}"
        personality = re.findall(r"P\d+", " ".join(re.findall(r"\[(P[^\]]*)\]", purpose)))
        source = f"getvpn {section.split()[0]} ({c[6]})" + "".join(f" {p}" for p in personality)
        level = "MAY" if "INFO" in c[5] and "→" not in c[5] and "firm" not in c[5] and c[0] in soft else "MUST"
        yield row(c[0], "case", scope_of(c[1]), statement, source, "getvpn", section, observation, c[0] in soft, level)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sheets", type=pathlib.Path)
    parser.add_argument("--out", type=pathlib.Path,
                        default=pathlib.Path(__file__).resolve().parent.parent / "fixtures" / "catalogue")
    parser.add_argument("--check", action="store_true")
    args = parser.parse_args()
    differs = False
    for sheet, extract in {"gdoi": gdoi, "ikev1": ikev1, "esp": esp, "gikev2": gikev2, "getvpn": getvpn}.items():
        found = list(extract((args.sheets / f"{sheet}.md").read_text(encoding="utf-8")))
        ids = [r["id"] for r in found]
        doubles = sorted({i for i in ids if ids.count(i) > 1})
        if doubles:
            sys.exit(f"{sheet}: {doubles} stand twice")
        if len(found) != EXPECTED[sheet]:
            sys.exit(f"{sheet}: {len(found)} rows, {EXPECTED[sheet]} expected")
        lines = ",\n".join(json.dumps(r, ensure_ascii=False) for r in found)
        text = f'{{"schema": "hallmark.requirements/1", "sheet": "{sheet}", "requirements": [\n{lines}\n]}}\n'
        target = args.out / f"{sheet}.json"
        if args.check:
            if not target.exists() or target.read_text(encoding="utf-8") != text:
                print(f"{target} differs from the sheet")
                differs = True
        else:
            target.write_text(text, encoding="utf-8")
            print(f"{sheet}: {len(found)} rows")
    sys.exit(1 if differs else 0)


if __name__ == "__main__":
    main()
